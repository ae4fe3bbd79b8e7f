/**
 * Chooses the stack that runs the kernels if none is named: Dawn on a real GPU, because only Dawn
 * reaches matrix units; Deno's own stack where Dawn does not help or does not work.
 *
 * @module
 */
import { openDawn } from "./dawn.ts";
import {
  type AdapterRecord,
  describeAdapter,
  type Gpu,
  openDevice,
  type OpenDeviceOptions,
} from "./device.ts";
import { within } from "./within.ts";

/** Longest wait for an adapter or a device of Dawn, seconds. */
const ANSWER_SECONDS = 20;

/** Features that decide between stacks: half the bytes, and times from the GPU's own clock. */
const WORTH_MORE = ["shader-f16", "timestamp-query"] as const;

/** A device, and why its stack was chosen. */
export interface ChosenStack {
  /** The open device. */
  readonly gpu: Gpu;
  /** One line: the reason for the choice. */
  readonly reason: string;
}

/** Options of {@linkcode chooseStack}. */
export interface ChooseStackOptions extends Pick<OpenDeviceOptions, "require" | "without"> {
  /** Deno's own `GPU` object. Default: `navigator.gpu`. */
  readonly gpu?: GPU;
  /** Loads Dawn. */
  readonly dawn?: () => Promise<GPU>;
  /** Longest wait for an adapter or a device of Dawn, seconds. */
  readonly seconds?: number;
}

/**
 * Opens a device on the fastest stack that works here.
 *
 * Dawn is loaded only if Deno's own stack finds a real GPU, or nothing. If anything goes wrong with
 * Dawn, Deno's own stack is used.
 *
 * @throws {DeviceError} the error of Deno's own stack, if neither works.
 */
export async function chooseStack(options: ChooseStackOptions = {}): Promise<ChosenStack> {
  const { dawn = openDawn, seconds = ANSWER_SECONDS, require, without } = options;
  const entry = options.gpu ?? (globalThis.navigator as Navigator | undefined)?.gpu;
  const adapter = await entry?.requestAdapter({ powerPreference: "high-performance" }) ?? undefined;
  const found = adapter && describeAdapter(adapter);
  const openOwn = () =>
    openDevice({
      require,
      without,
      stack: "deno",
      gpu: adapter ? { requestAdapter: () => Promise.resolve(adapter) } as unknown as GPU : entry,
    });
  if (found?.software) {
    return { gpu: await openOwn(), reason: `${nameOf(found)} is a software adapter` };
  }
  let gpu: Gpu | undefined;
  let reason: string;
  try {
    gpu = await openInTime(dawn, { require, without, seconds });
    const lacking = WORTH_MORE.find((name) =>
      !without?.includes(name) && adapter?.features.has(name) && !gpu!.features.includes(name)
    );
    if (!gpu.adapter.software && lacking === undefined) {
      const name = nameOf(found ?? gpu.adapter);
      const units = gpu.capabilities.subgroupMatrix.length > 0;
      return { gpu, reason: units ? `matrix units on ${name}` : `${name}, without matrix units` };
    }
    reason = lacking === undefined
      ? `Dawn found only a software adapter (${nameOf(gpu.adapter)})`
      : `Dawn offers no ${lacking} on ${nameOf(gpu.adapter)}`;
  } catch (error) {
    const text = (error instanceof Error ? error.message : String(error)).split("\n", 1)[0].trim()
      .replace(/^openDevice: /, "");
    reason = /dawn/i.test(text) ? text : `Dawn: ${text}`;
  }
  gpu?.destroy();
  return { gpu: await openOwn(), reason };
}

async function openInTime(
  dawn: () => Promise<GPU>,
  { seconds, ...options }: Pick<ChooseStackOptions, "require" | "without"> & { seconds: number },
): Promise<Gpu> {
  const opening = openDevice({ ...options, stack: "dawn", gpu: await dawn() });
  try {
    return await within(opening, { seconds, doing: "opening a device of Dawn" });
  } catch (error) {
    // A device that arrives too late has no owner: destroy it.
    opening.then((late) => late.destroy(), () => {});
    throw error;
  }
}

function nameOf({ description, device, vendor }: AdapterRecord): string {
  return description || device || vendor || "the adapter";
}
