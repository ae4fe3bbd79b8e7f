/**
 * Continues a partial result so that its parts fit together: shared parts are kept, parts that
 * cannot be the same are refused, and changes are noted.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { NotComparableError } from "../errors.ts";
import type { CalibrationRecord, Result } from "../result/result_schema.ts";
import { CLOCK_NAMES, joinCalibration, peerVersions } from "./merge.ts";

/** Note of a stopped run. */
export const STOPPED_NOTE = "the run was stopped before its end";

const LOST_NOTE = ": the cases after it were not measured";

/** Note of a run that lost its device. */
export function lostNote(reason: string): string {
  return `${reason}${LOST_NOTE}`;
}

/**
 * A partial result as the next run continues it: without the notes of its end, and without the
 * cases that were not measured because of a lost device.
 *
 * @param options.fresh the result that a new run would start with.
 * @throws {NotComparableError} when its times use a clock that the device lacks now, or a peer has
 * another version.
 */
export function takeUp(
  result: Result,
  { fresh, gpu, keepsWarm, name }: {
    fresh: Result;
    gpu: Pick<Gpu, "capabilities">;
    keepsWarm: boolean;
    name: string;
  },
): Result {
  const refuse = (reason: string) => new NotComparableError(`resume ${name}: ${reason}`);
  if (result.calibration?.clock === "gpu" && !gpu.capabilities.timestamps) {
    throw refuse("its times are GPU timestamps, which the device does not give now");
  }
  const [then, now] = peerVersions(result, fresh);
  if (then !== now) throw refuse("it was measured with another version of a peer");
  const lost = result.notes.filter((note) => note.endsWith(LOST_NOTE));
  const reasons = new Set(lost.map((note) => note.slice(0, -LOST_NOTE.length)));
  const { keepWarm, ...rest } = result;
  const resumed = [`resumed at ${fresh.startedAt}`];
  if (result.tool.commit !== fresh.tool.commit) {
    const commits = [result, fresh].map(({ tool }) => tool.commit ?? "unknown");
    resumed.push(`at commit ${commits[1]}, begun at ${commits[0]}`);
  }
  // Clock readings belong to one part: the samples already carry their flags.
  if (keepWarm && keepsWarm) resumed.push("what was read of the clock is of the time since then");
  else if (keepWarm) resumed.push("the clock was kept up before, and is not since then");
  else if (keepsWarm) resumed.push("the clock is kept up since then");
  return {
    ...rest,
    cases: result.cases.filter(({ status, reason }) =>
      status !== "failed" || reason === undefined || !reasons.has(reason)
    ),
    notes: [
      ...result.notes.filter((note) => note !== STOPPED_NOTE && !lost.includes(note)),
      resumed.join("; "),
    ],
  };
}

/**
 * The calibration of a resumed run: the first one, whose ceilings, clock and canary are kept. The
 * coarser of the two timestamp steps counts, since it holds for all samples.
 *
 * @throws {NotComparableError} when the two are of different clocks: one result has one clock.
 */
export function joinCalibrations(
  earlier: CalibrationRecord,
  now: CalibrationRecord,
): CalibrationRecord {
  if (earlier.clock !== now.clock) {
    throw new NotComparableError(
      `resume: its times are ${CLOCK_NAMES[earlier.clock]}, those of this run would be ` +
        CLOCK_NAMES[now.clock],
    );
  }
  return joinCalibration([earlier, now])!;
}
