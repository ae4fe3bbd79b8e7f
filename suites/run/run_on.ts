/**
 * A run on a machine that the caller gives: what comes before the device is open, and after.
 *
 * @module
 */
import { DeviceError } from "../../kernels/gpu/device.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { holdWorkers } from "../check/worker_pool.ts";
import type { Calibration } from "../device/calibrate.ts";
import { UsageError } from "../errors.ts";
import { requireUniqueNames } from "../plan/measurable.ts";
import type { Result } from "../result/result_schema.ts";
import type { FolderClaim } from "../result/write_output.ts";
import type { SuiteEntry } from "../suite.ts";
import type { Host } from "./host.ts";
import { loadSuites } from "./plan_run.ts";
import type { ProgressEvent, SuiteHooks } from "./progress.ts";
import { Run } from "./run.ts";
import type { SuiteOptions } from "./run_options.ts";

/** Q, K, V and dO take the seed and the three after it. */
export const MAX_SEED = 2 ** 32 - 4;

/** Default seed of the inputs. */
export const DEFAULT_SEED = 1010;

/** What else decides a run, beside its options. */
export interface RunExtras {
  readonly hooks?: SuiteHooks;
  /** Of a device that is calibrated already; its canary stays. Default: it is calibrated. */
  readonly calibration?: Calibration;
  /** The caller's claim on the output folder. */
  readonly claimed?: FolderClaim;
  /** Suites that there are. */
  readonly suites: readonly SuiteEntry[];
}

/**
 * Runs suites on a machine, in whatever runtime it is.
 *
 * @throws {UsageError} when the options cannot be used; nothing was measured then.
 * @throws {NotComparableError} when a run is resumed that has another plan or machine.
 * @throws {DeviceError} without an adapter, or without a feature that was asked for.
 */
export async function runOn(
  host: Host,
  options: SuiteOptions,
  { suites: entries, hooks = {}, calibration, claimed }: RunExtras,
): Promise<Result> {
  const seed = options.seed ?? DEFAULT_SEED;
  if (!Number.isInteger(seed) || seed < 0 || seed > MAX_SEED) {
    throw new UsageError(`seed ${seed} is not a whole number from 0 to ${MAX_SEED}`);
  }
  if (options.resume && !options.out) throw new UsageError("resume needs an output folder");
  const { out, resume, force = false, registry = IMPLEMENTATIONS } = options;
  requireUniqueNames(registry);
  const place = { fresh: !resume, force };
  if (out !== undefined) await host.checkFolder(out, place);
  const suites = await loadSuites(entries, { options, profiles: profilesOf(options) });
  const opened = new Map<string, unknown>();
  for (const suite of suites) {
    opened.set(suite.record.name, await suite.open?.({ ...options, seed }));
  }
  const store = out === undefined ? undefined : await host.openStore(out, { ...place, claimed });
  let gpu = options.gpu;
  using _workers = holdWorkers({ start: host.startWorker });
  try {
    host.prepare();
    const say = (kind: ProgressEvent["kind"], text: string) =>
      hooks.onProgress?.({ kind, text, done: 0, total: 0, remainingSeconds: null });
    const stack = gpu ? undefined : await host.openStack({
      stack: (options.stack ?? "auto") === "auto" && resume
        ? ownStack(await store!.recordedStack())
        : options.stack,
      require: options.dtype === "f16" ? ["shader-f16"] : [],
      say: (text) => say("step", text),
    });
    if (stack?.line) say("note", stack.line);
    gpu ??= stack!.gpu;
    if (options.dtype === "f16" && !gpu.capabilities.f16) {
      throw new DeviceError("feature", "dtype f16: the device does not grant shader-f16");
    }
    return await new Run({ ...options, seed }, {
      host,
      hooks,
      gpu,
      registry,
      suites,
      opened,
      stackChoice: stack?.choice,
      store,
      calibration,
    }).execute();
  } finally {
    if (!options.gpu) gpu?.destroy();
    await store?.close();
  }
}

/** Profiles that may be the run's: without a name the adapter decides between two of them. */
function profilesOf({ profile }: SuiteOptions): readonly string[] {
  return profile === undefined ? ["smoke", "standard"] : [profile];
}

/** The stack of an earlier run, if a command can go on with it. */
function ownStack(stack: Result["stack"]): SuiteOptions["stack"] {
  if (stack !== "browser") return stack;
  throw new UsageError("resume: the run was measured in a browser, which does not go on with it");
}
