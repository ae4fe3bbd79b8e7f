import assert from "node:assert/strict";
import { NotComparableError } from "../errors.ts";
import { sampleResult } from "../result/_sample_result.ts";
import type { Result } from "../result/result_schema.ts";
import { joinCalibrations, lostNote, STOPPED_NOTE, takeUp } from "./resume.ts";

const GPU = { capabilities: { timestamps: true } } as Parameters<typeof takeUp>[1]["gpu"];
const WALL_ONLY = { capabilities: { timestamps: false } } as typeof GPU;

const CLOCK_READINGS: NonNullable<Result["keepWarm"]> = { means: ["nvidia-smi"] };

function partial(change: (result: Result) => void = () => {}): Result {
  const result = { ...sampleResult({ contexts: [8192] }), finishedAt: null };
  change(result);
  return result;
}

function resume(result: Result, options: Partial<Parameters<typeof takeUp>[1]> = {}): Result {
  const fresh = { ...sampleResult({ contexts: [8192] }), startedAt: "2026-01-02T00:00:00.000Z" };
  return takeUp(result, { fresh, gpu: GPU, keepsWarm: false, name: "out/result.json", ...options });
}

const refuses = (message: RegExp) => (error: unknown) =>
  error instanceof NotComparableError && message.test(error.message);

Deno.test("takeUp drops the notes of the end, and cases that a lost device left unmeasured", () => {
  const before = partial(({ notes, cases }) => {
    notes.push(STOPPED_NOTE, lostNote("device lost: unplugged"));
    Object.assign(cases[1], { status: "failed", reason: "device lost: unplugged" });
    cases.push({ ...cases[0], id: "wrong", status: "failed", reason: "output is wrong" });
  });
  const after = resume(before);
  assert.deepEqual(after.cases.map(({ id }) => id), [before.cases[0].id, "wrong"]);
  assert.deepEqual(after.notes, [before.notes[0], "resumed at 2026-01-02T00:00:00.000Z"]);
  assert.equal(after.startedAt, before.startedAt);
});

Deno.test("takeUp notes what has changed", () => {
  const notes = (change: (result: Result) => void, keepsWarm = false) =>
    resume(partial(change), { keepsWarm }).notes.at(-1)!;
  const commit = notes(({ tool }) => tool.commit = null);
  assert.match(commit, /; at commit 0{40}, begun at unknown$/);
  const warm = (result: Result) => void (result.keepWarm = CLOCK_READINGS);
  assert.match(notes(warm, true), /what was read of the clock is of the time since then$/);
  assert.match(notes(warm), /the clock was kept up before, and is not since then$/);
  assert.match(notes(() => {}, true), /the clock is kept up since then$/);
  assert.equal(resume(partial(warm)).keepWarm, undefined);
});

Deno.test("takeUp refuses a device without the run's clock, and another version of a peer", () => {
  assert.throws(
    () => resume(partial(), { gpu: WALL_ONLY }),
    refuses(/^resume out\/result\.json: its times are GPU timestamps, which the device does not/),
  );
  resume(partial(({ calibration }) => calibration!.clock = "wall"), { gpu: WALL_ONLY });
  resume(partial((result) => result.calibration = null), { gpu: WALL_ONLY });
  const peer = (torch: string): Result["peers"] => [{
    asked: "torch-fa2",
    implementation: "peer:torch-fa2",
    computes: "dense",
    versions: { torch },
    device: null,
    timing: "CUDA events",
  }];
  const fresh = { ...partial(), peers: peer("2.12.0") };
  assert.throws(
    () => resume(partial((result) => result.peers = peer("2.11.0")), { fresh }),
    refuses(/another version of a peer$/),
  );
});

Deno.test("joinCalibrations keeps the first one, the coarser step, and never two clocks", () => {
  const earlier = partial().calibration!;
  const now = { ...earlier, canary: undefined, timestampGranularity: 1e-3 };
  assert.deepEqual(joinCalibrations(earlier, now), { ...earlier, timestampGranularity: 1e-3 });
  assert.throws(
    () => joinCalibrations(earlier, { ...now, clock: "wall" }),
    refuses(/its times are GPU timestamps, those of this run would be wall clock$/),
  );
});
