/**
 * What a run takes from the machine that it runs on. The command line gives it Deno's; a page in a
 * browser gives its own.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { KeepWarm } from "../device/keep_warm.ts";
import type { OpenedStack, RunStack } from "../device/open_stack.ts";
import type { AppliedTuning } from "../device/tuning_file.ts";
import type { OpenPeers } from "../peers/peers.ts";
import type { EnvironmentRecord, Result, TuningRecord } from "../result/result_schema.ts";
import type { ResultStore } from "../result/result_store.ts";
import type { FolderClaim } from "../result/write_output.ts";

/** Keeps the result of a run in progress. */
export type Store = Pick<ResultStore, "path" | "save" | "resume" | "recordedStack" | "close">;

/** A machine. */
export interface Host {
  /** Opens a device on a stack. */
  openStack(options: {
    readonly stack?: RunStack;
    readonly require: GPUFeatureName[];
    readonly say: (line: string) => void;
  }): Promise<OpenedStack>;
  /** The machine that a device belongs to. */
  describeEnvironment(gpu: Gpu): Promise<EnvironmentRecord>;
  /** The version of this project that runs. */
  describeTool(): Promise<Result["tool"]>;
  /** SHA-256 of its shaders and their generators; null where it cannot be had. */
  hashKernels(): Promise<string | null>;
  /** Keeps the device's clock up; undefined where nothing has to be done. */
  keepWarm(
    adapter: Gpu["adapter"],
    options: { readonly asked?: boolean },
  ): Promise<KeepWarm | undefined>;
  /** Other people's implementations, by the names that `--peer` takes. */
  openPeers(
    names: readonly string[],
    options: { readonly gpu: Gpu; readonly signal?: AbortSignal },
  ): Promise<OpenPeers>;
  /** The device with measured tilings, where there are any for it. */
  applyTuning(
    gpu: Gpu,
    options: { readonly tuning?: string | TuningRecord; readonly driver: string | null },
  ): Promise<AppliedTuning>;
  /**
   * A folder for the result, which nobody else writes to meanwhile.
   *
   * @param options.fresh whether there must be no result yet; `force` replaces one.
   * @param options.claimed the caller's claim on it, which the caller gives up as well.
   */
  openStore(
    folder: string,
    options: {
      readonly fresh: boolean;
      readonly force: boolean;
      readonly claimed?: FolderClaim;
    },
  ): Promise<Store>;
  /** Refuses a folder that has a result already, before anything else is done. */
  checkFolder(
    folder: string,
    options: { readonly fresh: boolean; readonly force: boolean },
  ): Promise<void>;
  /**
   * Starts a thread that runs `suites/check/worker.ts`. Default: from its file, where that may be
   * read.
   */
  readonly startWorker?: () => Worker;
  /** Comes before anything else: what the system lacks and the run can provide. */
  prepare(): void;
}
