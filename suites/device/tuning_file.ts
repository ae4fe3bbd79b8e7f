/**
 * Tuning files: which tilings of dense attention were measured as fastest on one adapter with
 * one driver and stack, with all times behind that. `tune.ts` measures; plans prefer a file's
 * tilings if `applyTuning` finds that it belongs to the current device.
 *
 * @module
 */
import { whyAmbiguous } from "../result/repeated_key.ts";
import { issueLine } from "../result/schema_issue.ts";
import { z } from "zod";
import { whyNotTuned, withTuning } from "../../kernels/dense_attention/tuning.ts";
import type { Gpu, TunedTiling } from "../../kernels/gpu/device.ts";
import { describeEnvironment } from "./environment.ts";
import { hashJson } from "../result/digest.ts";
import { OutputError, UsageError } from "../errors.ts";
import { tunedTilingSchema } from "../result/environment_schema.ts";
import type { TuningRecord } from "../result/result_schema.ts";
import { InputError, readInput } from "../result/read_input.ts";
import { asOutputError } from "../result/file_errors.ts";
import { tryClaimFile } from "../result/write_output.ts";

const FORMAT = "lighthouse-attention-bench/tuning";

/** Largest file that is read, bytes: a full one has about a tenth of that. */
const LIMIT_BYTES = 2 ** 20;

const tiling = z.record(z.string(), z.number());

/** The device of a file: everything that decides which tiling is the fastest. */
const deviceSchema = z.strictObject({
  stack: z.string(),
  driver: z.string().nullable(),
  vendor: z.string(),
  architecture: z.string(),
  device: z.string(),
  description: z.string(),
});

/** A measured kernel at one length and H: the tiling to use, and every measured time. */
export const tuningEntrySchema = z.intersection(
  tunedTilingSchema,
  z.looseObject({
    /** H of the measurement. */
    heads: z.int().positive(),
    /** The clock of the times: GPU timestamps or the wall clock. */
    clock: z.enum(["gpu", "wall"]),
    /** The kernel's default tiling. */
    default: tiling,
    /** Time of the fastest tiling over the default's, with a 95 % interval. */
    ratio: z.looseObject({ estimate: z.number(), low: z.number(), high: z.number() }),
    /** For each tiling, the default first: seconds of its samples, or why it was left out. */
    measured: z.array(
      z.looseObject({
        tiling,
        seconds: z.array(z.number().nonnegative()),
        refused: z.string().optional(),
      }),
    ),
  }),
);

/** The whole document. */
export const tuningFileSchema = z.looseObject({
  format: z.literal(FORMAT),
  version: z.literal(1),
  /** ISO 8601, UTC. */
  measuredAt: z.iso.datetime(),
  device: deviceSchema,
  entries: z.array(tuningEntrySchema),
  /** SHA-256 of everything else, with the keys of objects in alphabetical order. */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
});

/** The device that a file is of. */
export type TunedDevice = z.infer<typeof deviceSchema>;
/** A measured kernel at one length and H. */
export type TuningEntry = z.infer<typeof tuningEntrySchema>;
/** A tuning file as read. */
export type TuningFile = z.infer<typeof tuningFileSchema>;

/** The content of a tuning file for its device. */
export function describeTunedDevice(gpu: Gpu, driver: string | null): TunedDevice {
  const { vendor, architecture, device, description } = gpu.adapter;
  return { stack: gpu.stack, driver, vendor, architecture, device, description };
}

/** A document with its digest. */
export async function sealTuning(
  { device, entries }: Pick<TuningFile, "device" | "entries">,
): Promise<TuningFile> {
  const measuredAt = new Date().toISOString();
  const content = { format: FORMAT, version: 1, measuredAt, device, entries } as const;
  return { ...content, digest: await hashJson(content) };
}

/**
 * Reads a tuning file.
 *
 * @throws {UsageError} one line, when it is missing, unreadable, not a tuning file, or was edited.
 */
export async function readTuning(path: string): Promise<TuningFile> {
  const fail = (reason: string, cause?: unknown): never => {
    throw new UsageError(`tuning ${path}: ${reason}`, { cause });
  };
  let value: unknown;
  let text = "";
  try {
    text = await readInput(path, { limitBytes: LIMIT_BYTES });
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof InputError) return fail(error.message, error.cause);
    return fail("it is not JSON", error);
  }
  const ambiguous = whyAmbiguous(text);
  if (ambiguous) return fail(ambiguous);
  const parsed = tuningFileSchema.safeParse(value);
  if (!parsed.success) {
    return fail(issueLine(parsed.error.issues, value));
  }
  const { digest, ...content } = parsed.data;
  if (await hashJson(content) !== digest) {
    return fail(`its digest ${digest.slice(0, 12)} is not that of its content: it was edited`);
  }
  return parsed.data;
}

/**
 * Longest wait for another process that writes the same file, and the time between two attempts.
 */
const WAIT_MILLISECONDS = 10_000;
const LOOK_MILLISECONDS = 20;

/**
 * Writes a tuning file atomically, into a folder that is created if it is missing.
 *
 * @param content The file, or a function that makes it once no other process can change the
 * existing one: what it reads then is what it replaces.
 * @throws {OutputError} when it cannot be written.
 */
export async function writeTuning(
  path: string,
  content: TuningFile | (() => Promise<TuningFile>),
): Promise<void> {
  const folder = path.replace(/[^/\\]*$/, "");
  if (folder !== "") {
    await Deno.mkdir(folder, { recursive: true }).catch((error) => {
      throw asOutputError(path, error);
    });
  }
  const deadline = performance.now() + WAIT_MILLISECONDS;
  let claim = await tryClaimFile(path, { force: true });
  while (claim === undefined && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MILLISECONDS));
    claim = await tryClaimFile(path, { force: true });
  }
  if (claim === undefined) throw new OutputError(`write ${path}: another process is writing it`);
  try {
    await claim.write(tuningText(typeof content === "function" ? await content() : content));
  } finally {
    await claim.release();
  }
}

/** A tuning file as text. */
export function tuningText(file: TuningFile): string {
  return `${JSON.stringify(file, null, 1)}\n`;
}

/**
 * The cache folder of this user: `LOCALAPPDATA` on Windows, elsewhere `XDG_CACHE_HOME` or
 * `HOME/.cache`. Undefined if the variables are unset or may not be read.
 */
export function cacheFolder(): string | undefined {
  const read = (name: string) => {
    try {
      return Deno.env.get(name) || undefined;
    } catch {
      return undefined; // no permission for it
    }
  };
  if (Deno.build.os === "windows") return read("LOCALAPPDATA");
  const home = read("HOME");
  return read("XDG_CACHE_HOME") ?? (home && `${home}/.cache`);
}

/** Where the tuning of a device is kept between runs: one file for each device. */
export async function cachedTuningPath(device: TunedDevice, folder: string): Promise<string> {
  const name = `${device.description || device.device || device.vendor} ${device.stack}`
    .toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);
  const hash = (await hashJson(device)).slice(0, 12);
  return `${folder}/lighthouse-attention-bench/tuning-${name}-${hash}.json`;
}

/** Options of {@linkcode applyTuning}. */
export interface ApplyTuningOptions {
  /**
   * `auto`: the cached file of this device, if there is one. `none`: no file. Another text: the
   * file with that name. A record: the tilings that a result names. Default `none`.
   */
  readonly tuning?: string | TuningRecord;
  /** Driver of the device. Default: it is determined. */
  readonly driver?: string | null;
  /** Folder of the cache. Default: the user's. */
  readonly cache?: string;
}

/** A device with its measured tilings, if there are any. */
export interface AppliedTuning {
  /** The device; its plans prefer the tilings. */
  readonly gpu: Gpu;
  /** The tuning that is used; undefined without one. */
  readonly record?: TuningRecord;
  /** Notes for the user, one line each: what is used, what is not, and why. */
  readonly lines: readonly string[];
}

/**
 * Gives a device the tilings that were measured as fastest on it.
 *
 * A cached file that cannot be used is ignored with a note: nothing depends on it. So are tilings
 * that no kernel declares or that do not fit the device, from any source.
 *
 * @throws {UsageError} when a file that was named is unusable or belongs to another device.
 */
export async function applyTuning(
  gpu: Gpu,
  options: ApplyTuningOptions = {},
): Promise<AppliedTuning> {
  const { tuning = "none" } = options;
  if (tuning === "none") return { gpu, lines: [] };
  if (typeof tuning === "object") return admit(gpu, tuning);
  const driver = options.driver === undefined
    ? (await describeEnvironment(gpu)).driver
    : options.driver;
  const device = describeTunedDevice(gpu, driver);
  if (tuning !== "auto") return admit(gpu, await readFor(device, tuning));
  const folder = options.cache ?? cacheFolder();
  if (folder === undefined) {
    const line = "tuning: no cache folder is known (HOME and the like are unset or may not be " +
      "read), so the kernels choose their tilings";
    return { gpu, lines: [line] };
  }
  const path = await cachedTuningPath(device, folder);
  try {
    return admit(gpu, await readFor(device, path));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const missing = error.cause instanceof Deno.errors.NotFound;
    return { gpu, lines: missing ? [] : [`${error.message}; the kernels choose their tilings`] };
  }
}

async function readFor(device: TunedDevice, path: string): Promise<TuningRecord> {
  const file = await readTuning(path);
  for (const name of Object.keys(device) as (keyof TunedDevice)[]) {
    if (file.device[name] === device[name]) continue;
    throw new UsageError(
      `tuning ${path}: it was measured on another device: ${name} is ` +
        `${JSON.stringify(device[name])} here, ${JSON.stringify(file.device[name])} there`,
    );
  }
  const { digest, measuredAt } = file;
  return { digest, measuredAt, tilings: file.entries.map(tunedTilingOf) };
}

/** An entry without its times. */
export function tunedTilingOf(entry: TunedTiling): TuningRecord["tilings"][number] {
  const { kernel, pass, headDim, dtype, rows, heads, tiling } = entry;
  return { kernel, pass, headDim, dtype, rows, ...heads && { heads }, tiling: { ...tiling } };
}

function admit(gpu: Gpu, { digest, measuredAt, tilings: all }: TuningRecord): AppliedTuning {
  const lines: string[] = [];
  const tilings = all.filter((entry) => {
    const reason = whyNotTuned(gpu.capabilities, entry);
    if (reason) lines.push(`tuning: ${describeKernel(entry)}: ${reason}; it is ignored`);
    return reason === undefined;
  });
  if (tilings.length === 0) {
    return { gpu, lines: [...lines, "tuning: no measured tiling is for this device"] };
  }
  lines.unshift(
    `tuning: ${tilings.length} tiling${tilings.length === 1 ? "" : "s"} measured on ${
      measuredAt.slice(0, 10)
    }, ` +
      `digest ${digest.slice(0, 12)}`,
  );
  return {
    gpu: withTuning(gpu, tilings),
    record: { digest, measuredAt, tilings: tilings.map(tunedTilingOf) },
    lines,
  };
}

/** `portable forward d=64 f16 N=4096 H=8`; an entry without H omits it. */
export function describeKernel(entry: Omit<TunedTiling, "tiling">): string {
  const { kernel, pass, headDim, dtype, rows, heads } = entry;
  const text = `${kernel} ${PASS_NAMES[pass]} d=${headDim} ${dtype} N=${rows}`;
  return heads === undefined ? text : `${text} H=${heads}`;
}

/** Readable names of the passes. */
export const PASS_NAMES = { forward: "forward", query: "dQ", "key-value": "dK and dV" } as const;
