/**
 * Opens the device of a run, on the requested stack or, by default, on the fastest one
 * here.
 *
 * @module
 */
import { chooseStack, type ChooseStackOptions } from "../../kernels/gpu/choose_stack.ts";
import { openDawn } from "../../kernels/gpu/dawn.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { openDevice } from "../../kernels/gpu/open_device.ts";
import { listNvidiaCards, type NvidiaCard } from "./nvidia.ts";
import type { StackChoiceRecord } from "../result/result_schema.ts";

/** Values that may be requested: a stack, or the fastest that works. */
export const STACKS = ["auto", "deno", "dawn"] as const;

/** What may be asked for: one of {@linkcode STACKS}. */
export type RunStack = typeof STACKS[number];

/** Milliseconds without an answer of Dawn after which a person wants to know why. */
const PATIENCE_MILLISECONDS = 2000;

/** Options of {@linkcode openStack}. */
export interface OpenStackOptions extends Pick<ChooseStackOptions, "require" | "gpu" | "dawn"> {
  /** Lists NVIDIA's cards; for tests. */
  readonly cards?: () => Promise<readonly Pick<NvidiaCard, "name">[]>;
  /** Default `auto`. */
  readonly stack?: RunStack;
  /** Is told why it takes long. */
  readonly say?: (line: string) => void;
}

/** A device and how its stack was chosen. */
export interface OpenedStack {
  /** The open device. */
  readonly gpu: Gpu;
  /** What was requested and why the stack was chosen, as results record it. */
  readonly choice: StackChoiceRecord;
  /** Which stack and why, one line; undefined if it was requested by name. */
  readonly line?: string;
}

/**
 * Opens a device.
 *
 * @throws {DeviceError} without an adapter, without a required feature, or if the requested stack
 * does not work.
 */
export async function openStack(options: OpenStackOptions = {}): Promise<OpenedStack> {
  const { stack: asked = "auto", require, say } = options;
  if (asked !== "auto") {
    const gpu = await openDevice({ stack: asked, require });
    return { gpu, choice: { asked, reason: "asked for" } };
  }
  const load = options.dawn ?? openDawn;
  const dawn = async () => {
    const timer = setTimeout(
      () => say?.("loading Dawn, the npm package webgpu, which is downloaded once"),
      PATIENCE_MILLISECONDS,
    );
    try {
      return await load();
    } finally {
      clearTimeout(timer);
    }
  };
  const { gpu, reason } = await chooseStack({ gpu: options.gpu, require, dawn });
  const [hidden] = gpu.adapter.software ? await (options.cards ?? listIfAllowed)() : [];
  const more = hidden === undefined
    ? ""
    // A user with a GPU rarely wants a run on the processor.
    : `; ${hidden.name} is here but Vulkan does not show it: deno task doctor says why`;
  return { gpu, choice: { asked, reason }, line: `stack ${gpu.stack}: ${reason}${more}` };
}

/** A run never prompts for a permission that it can do without. */
async function listIfAllowed(): Promise<readonly NvidiaCard[]> {
  const { state } = Deno.permissions.querySync({ name: "run", command: "nvidia-smi" });
  return state === "granted" ? await listNvidiaCards() : [];
}
