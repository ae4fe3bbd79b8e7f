/**
 * The machine as Deno gives it.
 *
 * @module
 */
import { describeEnvironment, describeTool, hashKernels } from "../device/environment.ts";
import { startKeepWarm } from "../device/keep_warm.ts";
import { openStack } from "../device/open_stack.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { applyTuning } from "../device/tuning_file.ts";
import { openPeers } from "../peers/peers.ts";
import { RESULT_FILE, ResultStore } from "../result/result_store.ts";
import { refuseOverwrite } from "../result/write_output.ts";
import type { Host } from "./host.ts";

/** {@linkcode Host} of the command line. */
export const DENO_HOST: Host = {
  openStack,
  describeEnvironment,
  describeTool,
  hashKernels,
  keepWarm: startKeepWarm,
  openPeers,
  applyTuning,
  prepare: provideRuntimeDir,
  async checkFolder(folder, { fresh, force }) {
    if (fresh) await refuseOverwrite([`${folder}/${RESULT_FILE}`], force);
  },
  openStore(folder, { claimed, ...how }) {
    return ResultStore.open(folder, { claimed, check: () => DENO_HOST.checkFolder(folder, how) });
  },
};
