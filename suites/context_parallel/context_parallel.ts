/**
 * Context parallelism, simulated on one device: the layer's context in W shards that select on their
 * own and attend in a ring. Says what sharding changes in the selection, whether the ring computes
 * the attention of the unsharded sequence, and what each share of each step costs.
 *
 * @module
 */
import { median } from "simple-statistics";
import { headsPerBlock, MemoryError, readRows, type Tensor } from "../../kernels/gpu/buffers.ts";
import { watchAllocations } from "../../kernels/gpu/accounting.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { flushesHalves } from "../../kernels/gpu/subnormals.ts";
import { inspectTensor } from "../../kernels/gpu/inspect.ts";
import { pcg } from "../../kernels/gpu/random.ts";
import { bytesPerElement } from "../../kernels/gpu/buffers.ts";
import type { ImplementationPlan, Problem } from "../../kernels/implementation.ts";
import {
  type ContextParallel,
  type ContextParallelPlan,
  createContextParallel,
  exchangedBytes,
  planContextParallel,
  type ShardOptions,
  wholeSelection,
} from "../../kernels/lighthouse/context_parallel.ts";
import { layerOptions, lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import type { Scorer } from "../../kernels/lighthouse/scorers/scorer.ts";
import { SCORERS } from "../../kernels/lighthouse/scorers/scorers.ts";
import {
  type AttentionRowState,
  finishAttentionRow,
  keysSeen,
  maxDifference,
  maxMagnitude,
  startAttentionRow,
  storingError,
} from "../check/attention_rows.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { expandNames } from "../plan/measurable.ts";
import { caseRecord, failedRecord, withSamples } from "../plan/case_record.ts";
import { failureOf } from "../check/check.ts";
import { chunksOf, streamPast } from "../check/stream.ts";
import { inconclusiveReason } from "../device/clock.ts";
import { errorLine, UsageError } from "../errors.ts";
import { createInputs } from "../measure/start_case.ts";
import {
  bytesOf,
  DISPATCH_SECONDS,
  nextRound,
  rethrowFatal,
  type Session,
} from "../measure/session.ts";
import {
  lackOfMemory,
  type PlannedCase,
  type PlannedDevice,
  type PlanOptions,
  problemId,
  type RunPlan,
} from "../plan/plan.ts";
import { type ContextParallelSetting, type KRule, resolveBudget } from "../plan/profile.ts";
import type { CheckRecord, ContextParallelRecord, Sample } from "../result/result_schema.ts";
import { compareSelections, describeSelection } from "../measure/selection_quality.ts";
import { summarize } from "../statistics/statistics.ts";

/** Rounds of the ring and the attention in one piece, and of shares timed apart. */
const ROUNDS = 3;

/** Rows of a float64 check besides the first and last of each part. */
const RANDOM_ROWS = 4;

const CHUNK_ROWS = 8192;

type Part = NonNullable<CheckRecord["parts"]>[number];

/** One cut of one implementation, planned as a case. */
export interface PlannedCut {
  readonly entry: PlannedCase;
  readonly scorer: Scorer;
  readonly sharding: ShardOptions;
  readonly cut?: ContextParallelPlan;
}

/**
 * The cuts of a run: those of its profile, unless options shape another grid and do not ask for the
 * suite by name; then the suite takes the longest context, and levels, pooling, k and the dilation,
 * from them.
 *
 * @throws {UsageError} one line, when the suite was asked for by name at a shape of which no cut can
 * be computed.
 */
export function planRunCuts(
  { profile, dtype }: Pick<RunPlan, "profile" | "dtype">,
  options: Partial<PlanOptions>,
  device: CutDevice,
): PlannedCut[] {
  const { contexts, options: values = {} } = options;
  const { levels, pooling, k, dilation } = values;
  const asked = options.suites?.includes("context-parallel") ?? false;
  const shaped = [contexts, options.options, options.heads, options.headDims]
    .some(Boolean);
  const { contextParallel: setting } = profile;
  if (!setting || !profile.suites.includes("context-parallel") || shaped && !asked) return [];
  const context = contexts ? Math.max(...contexts) : setting.context;
  const cuts = planCuts({
    setting: {
      ...setting,
      context,
      levels: numberOf(levels) ?? setting.levels,
      pooling: numberOf(pooling) ?? setting.pooling,
      k: k ? resolveBudget(k[0], context) : setting.k,
    },
    dilation: numberOf(dilation),
    heads: profile.heads[0],
    headDim: profile.headDims[0],
    dtype,
    implementations: profile.implementations,
    device,
  });
  if (asked && shaped && cuts.length > 0 && cuts.every(({ entry }) => entry.skip)) {
    throw new UsageError(cuts[0].entry.skip!);
  }
  return cuts;
}

/** The first value of an option that takes no rules. */
function numberOf(values: readonly KRule[] | undefined): number | undefined {
  return values && Number(values[0]);
}

/** What planning cuts has to know of a device. */
type CutDevice = Pick<PlannedDevice, "capabilities" | "deviceMemoryBytes">;

/** What the cuts of a run share. */
export interface CutOptions {
  readonly setting: ContextParallelSetting;
  /** δ of the dilated scorer, where it is not the scorer's own. */
  readonly dilation?: number;
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: Problem["shape"]["dtype"];
  /** Implementations that are measured; those without a scorer that can be cut are left out. */
  readonly implementations: readonly string[];
  readonly device: CutDevice;
}

/** The cases of a setting, cuts that cannot select or do not fit with their reason. Pure. */
export function planCuts(options: CutOptions): PlannedCut[] {
  const { setting, heads, headDim, dtype, implementations, device } = options;
  const { context, levels, pooling, k } = setting;
  const names = expandNames(implementations, IMPLEMENTATIONS);
  const scorers = SCORERS.filter(({ name, wholeHeads }) =>
    wholeHeads === undefined && names.includes(`lighthouse-${name}`)
  );
  return scorers.flatMap((scorer) =>
    (["contiguous", "head-tail"] as const).flatMap((partition) =>
      setting.shards.map((shards): PlannedCut => {
        const sharding = { shards, partition };
        const shape = { heads, context, headDim, dtype };
        const takes = layerOptions(scorer);
        const dilation = takes.some(({ name }) => name === "dilation")
          ? options.dilation
          : undefined;
        const problem: Problem = {
          shape,
          options: { levels, pooling, k, ...(dilation && { dilation }) },
        };
        const parts = [problemId(problem, takes), `W${shards}`, partition];
        const base = {
          id: `context-parallel/lighthouse-${scorer.name}/forward/${parts.join("-")}`,
          suite: "context-parallel" as const,
          implementation: `lighthouse-${scorer.name}`,
          family: "lighthouse",
          scorer: scorer.name,
          direction: "forward" as const,
          problem,
          sweeps: [],
        };
        try {
          const cut = planContextParallel(context, lighthouseOptions(problem), sharding);
          const plan = planBuffers(cut, { shape, device });
          const skip = lackOfMemory(plan, device);
          if (skip !== undefined) return { entry: { ...base, plan, skip }, scorer, sharding };
          return { entry: { ...base, plan }, scorer, sharding, cut };
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          return { entry: { ...base, skip: errorLine(error) }, scorer, sharding };
        }
      })
    )
  );
}

/** Stages are the ring steps, all shards of each together. */
function planBuffers(
  cut: ContextParallelPlan,
  { shape, device }: { shape: Problem["shape"]; device: CutDevice },
): ImplementationPlan {
  const { heads, headDim, dtype } = shape;
  const { geometry, part, parts, shards, steps } = cut;
  const perBlock = headsPerBlock(device, [
    { heads, rows: geometry.context, dim: headDim, dtype },
    { heads, rows: geometry.gathered, dim: headDim, dtype: "f32" },
    { heads, rows: parts * part.entries, dim: 1, dtype: "f32" },
  ]);
  const row = heads * headDim * bytesPerElement(dtype);
  const wide = heads * headDim * 4;
  const shardRows = geometry.gathered / shards;
  const stages = steps.map((shares, step) => {
    const working = shares.filter(({ pieces }) => pieces.length > 0).length;
    // Q, K, V of a share are read, its result is written, and read where it is merged with.
    const each = 3 * shardRows * row + (step === 0 ? 1 : 2) * shardRows * wide;
    return {
      name: `ring step ${step}`,
      flops: 4 * headDim * heads * shares.reduce((sum, { pairs }) => sum + pairs, 0),
      bytes: working * each,
    };
  });
  const buffers = [
    { name: "q, k, v", bytes: 3 * geometry.context * row },
    { name: "pooled rows", bytes: geometry.pooledEntries * row },
    { name: "gathered q, k, v, output in one piece", bytes: 4 * geometry.gathered * row },
    { name: "ring output", bytes: geometry.gathered * wide },
    { name: "log-sum-exps", bytes: 2 * heads * geometry.gathered * 4 },
    { name: "scores and slots", bytes: 3 * heads * parts * part.entries * 4 },
    { name: "indices", bytes: heads * geometry.gathered * 4 },
  ];
  const total = (records: readonly { flops?: number; bytes: number }[]) =>
    records.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    stages,
    flops: stages.reduce((sum, { flops }) => sum + flops, 0),
    bytes: total(stages),
    buffers,
    peakBytes: total(buffers),
    headsPerBlock: perBlock,
    gathered: geometry.gathered,
  };
}

/**
 * Measures every cut; a cut that fails or does not fit is recorded with its reason.
 *
 * @param options `again`: ids of cuts that are measured though they have a record, whose samples stay.
 */
export async function measureContextParallel(
  session: Session,
  cuts: readonly PlannedCut[],
  { again }: { again?: ReadonlySet<string> } = {},
): Promise<void> {
  const open = cuts.filter(({ entry: { id } }) =>
    again?.has(id) || session.finished(id) === undefined
  );
  for (const { entry } of open.filter(({ entry }) => entry.skip)) {
    await session.record(caseRecord(entry, { status: "skipped", reason: entry.skip }));
  }
  const runnable = open.filter(({ cut }) => cut !== undefined);
  if (runnable.length === 0) return;
  let inputs: Awaited<ReturnType<typeof createInputs>>;
  try {
    inputs = await createInputs(session, runnable.map(({ entry }) => entry));
  } catch (error) {
    rethrowFatal(session, error);
    const status = error instanceof MemoryError ? "skipped" : "failed";
    for (const { entry } of runnable) {
      await session.record(caseRecord(entry, { status, reason: errorLine(error) }));
    }
    return;
  }
  const unsharded = new Map<Scorer, Int32Array>();
  try {
    for (const planned of runnable) {
      session.signal?.throwIfAborted();
      try {
        await measureCut(session, planned, { inputs, unsharded });
      } catch (error) {
        rethrowFatal(session, error);
        const status = error instanceof MemoryError ? "skipped" : "failed";
        await session.record(caseRecord(planned.entry, { status, reason: errorLine(error) }));
      }
    }
  } finally {
    inputs.destroy();
  }
}

async function measureCut(
  session: Session,
  planned: PlannedCut,
  shared: {
    inputs: Awaited<ReturnType<typeof createInputs>>;
    unsharded: Map<Scorer, Int32Array>;
  },
): Promise<void> {
  const { gpu, budget, seed, signal } = session;
  const { entry, scorer, sharding } = planned;
  const cut = planned.cut!;
  const one = budget.predict(entry);
  const needed = one * (2 + 4 * ROUNDS + ROUNDS);
  const earlier = session.finished(entry.id);
  if (needed > budget.left) {
    if (earlier) return;
    const reason = `predicted ${needed.toPrecision(3)} s; ` +
      `${Math.max(0, budget.left).toPrecision(3)} s of the budget are left`;
    const record = caseRecord(entry, { status: "skipped", reason });
    return await session.record({ ...record, predictedSeconds: one });
  }
  const { problem } = entry;
  const flopsPerSecond = budget.flopsPerSecond(entry);
  const run = { flopsPerSecond, signal };
  const prepare = (options: ShardOptions) =>
    createContextParallel(gpu, problem, {
      inputs: shared.inputs,
      scorer,
      sharding: options,
      flopsPerDispatch: flopsPerSecond && flopsPerSecond * DISPATCH_SECONDS,
    });
  let whole = shared.unsharded.get(scorer);
  if (!whole) {
    session.step(`${entry.id}: selecting without shards`);
    const single = await prepare({ shards: 1, partition: "contiguous" });
    try {
      await single.select(run);
      shared.unsharded.set(scorer, whole = await single.readSelection());
    } finally {
      single.destroy();
    }
  }
  session.step(`${entry.id}: first run`);
  const allocations = watchAllocations(gpu.device);
  allocations.restart();
  const heldBefore = allocations.bytes;
  const sharded = await prepare(sharding);
  try {
    await sharded.select(run);
    await sharded.attend(run);
    await sharded.attendWhole(run);
    const measuredPeakBytes = allocations.peakBytes - heldBefore + bytesOf(shared.inputs);
    const local = await sharded.readSelection();
    const first = await inspectTensor(gpu, sharded.output);
    session.step(`${entry.id}: checking`);
    const parts = await checkRing(gpu, sharded, { problem, seed, signal });
    const taken = await takeTimes(session, sharded, run);
    const { pieces, shares } = taken;
    const before = earlier?.samples ?? [];
    const firstRound = nextRound(before);
    const samples = [
      ...before,
      ...taken.samples.map((sample) => ({ ...sample, round: firstRound + sample.round })),
    ];
    const last = await inspectTensor(gpu, sharded.output);
    parts.push({
      name: "finite",
      passed: first.notFinite === 0,
      maxError: null,
      tolerance: null,
      detail: `${first.notFinite} elements of the ring's output are NaN or infinite`,
    }, {
      name: "determinism",
      passed: first.digest === last.digest,
      maxError: null,
      tolerance: null,
      detail: "the first and the last execution of the ring",
    });
    const worst = parts[0];
    const check: CheckRecord = {
      passed: parts.every(({ passed }) => passed),
      method: "sampled rows of the ring's output against float64 attention over the gathered " +
        "rows, and against the dense kernel over them in one piece",
      maxError: worst.maxError,
      tolerance: worst.tolerance,
      parts,
    };
    const failure = failureOf(check);
    if (failure !== undefined) {
      return await session.record(failedRecord(entry, { reason: failure, check }));
    }
    const contextParallel: ContextParallelRecord = {
      ...sharding,
      parts: cut.parts,
      partK: cut.part.k,
      selection: compareSelections(whole, wholeSelection(cut, local), cut.geometry),
      uncoveredRows: describeSelection(local, cut.part).uncoveredRows,
      unshardedUncoveredRows: describeSelection(whole, cut.geometry).uncoveredRows,
      ...(pieces.length > 0 && { unshardedAttention: summarize(pieces, { seed }) }),
      steps: cut.steps.map((stepShares, step) => ({
        shardSeconds: shares ? shares[step].map(median) : [],
        shardPairs: stepShares.map(({ pairs }) => pairs * problem.shape.heads),
        bytes: step === cut.shards - 1 ? 0 : exchangedBytes(cut, problem.shape),
      })),
    };
    const reason = inconclusiveReason(samples);
    const status = reason === undefined ? "ok" : "inconclusive";
    const record = caseRecord(entry, { status, reason });
    await session.record(withSamples({
      ...record,
      stages: record.stages.map((stage, step) => {
        const totals = shares?.[step][0].map((_, i) =>
          shares[step].reduce((sum, times) => sum + times[i], 0)
        );
        return totals === undefined
          ? stage
          : { ...stage, samples: totals, statistic: summarize(totals) };
      }),
      predictedSeconds: one,
      measuredPeakBytes,
      check,
      digest: { output: first.digest },
      contextParallel,
    }, { samples, seed }));
  } finally {
    sharded.destroy();
  }
}

/** A/B/B/A rounds of the piece and the ring, then the ring share by share. */
async function takeTimes(
  session: Session,
  sharded: ContextParallel,
  run: { flopsPerSecond?: number; signal?: AbortSignal },
) {
  const { calibration, clock } = session;
  const samples: Sample[] = [];
  const pieces: number[] = [];
  let before = await clock.settle(run);
  let clean = 0;
  // Rounds with the clock down are taken again, at most as many more.
  for (let round = 0; round < 2 * ROUNDS && clean < ROUNDS; round++) {
    let off = false;
    for (const [place, ring] of [false, true, true, false].entries()) {
      if (clock.isOff(before)) before = await clock.settle(run);
      const { result: timing, canary, after } = await clock.around(
        before,
        (between) =>
          ring ? sharded.attend({ ...run, between }) : sharded.attendWhole({ ...run, between }),
      );
      before = after;
      const seconds = calibration.secondsOf(timing);
      const flagged = clock.isOff(canary);
      off ||= flagged;
      if (ring) {
        const { wallSeconds } = timing;
        const flag = flagged && { flag: "clock" as const };
        samples.push({ seconds, wallSeconds, round, place, canary, ...flag });
      } else if (!flagged) pieces.push(seconds);
    }
    if (!off) clean++;
  }
  const { shards } = sharded.plan;
  // [step][shard][execution]; a share without work takes no time.
  const shares = Array.from(
    { length: shards },
    () => Array.from({ length: shards }, () => new Array<number>(ROUNDS).fill(0)),
  );
  for (let round = 0; round < ROUNDS; round++) {
    await clock.settle(run);
    const { stages } = await sharded.attend({ ...run, stages: true });
    if (!stages || calibration.record.clock === "wall") return { samples, pieces };
    sharded.ringShares.forEach(({ step, shard }, i) => shares[step][shard][round] = stages[i]);
  }
  return { samples, pieces, shares };
}

/** The ring's rows against float64, and against the dense kernel's. The first part is the worst. */
async function checkRing(
  gpu: Gpu,
  sharded: ContextParallel,
  { problem, seed, signal }: { problem: Problem; seed: number; signal?: AbortSignal },
): Promise<Part[]> {
  const { plan, gathered } = sharded;
  const { heads, headDim, dtype } = problem.shape;
  const head = heads - 1;
  const flushes = dtype === "f16" && await flushesHalves(gpu);
  const rows = plan.geometry.gathered;
  const ends = Array.from({ length: plan.parts }, (_, part) => [
    part * plan.part.gathered,
    (part + 1) * plan.part.gathered - 1,
  ]).flat();
  const random = Array.from({ length: RANDOM_ROWS }, (_, i) => pcg((seed + i) >>> 0) % rows);
  const sampled = [...new Set([...ends, ...random])].sort((a, b) => a - b);
  const read = async (tensor: Tensor, first: number, count = 1) =>
    Float32Array.from(await readRows(gpu, tensor, { head, first, count }));
  const starting: AttentionRowState[] = [];
  for (const row of sampled) {
    starting.push(startAttentionRow(await read(gathered.q, row), { last: row, dtype }));
  }
  const passed = await streamPast("attentionRows", starting, {
    ranges: chunksOf(0, rows, CHUNK_ROWS),
    workOf: keysSeen,
    signal,
    read: async ({ first, count }, shared) => ({
      first,
      count,
      k: shared.float32(await read(gathered.k, first, count)),
      v: shared.float32(await read(gathered.v, first, count)),
    }),
  });
  const output: Compared[] = [];
  const statistic: Compared[] = [];
  const piece: Compared[] = [];
  for (const [i, row] of sampled.entries()) {
    const want = finishAttentionRow(passed[i]);
    const ring = await read(sharded.output, row);
    const dense = await read(sharded.wholeOutput, row);
    const [lse] = await read(sharded.lse, row);
    const [denseLse] = await read(sharded.wholeLse, row);
    const tolerance = 2 * maxDifference(want.plainOutput, want.output) + want.outputFloor;
    output.push({ row, error: maxDifference(ring, want.output), tolerance });
    statistic.push({
      row,
      error: Math.max(Math.abs(lse - want.lse), Math.abs(denseLse - want.lse)),
      tolerance: 2 * Math.abs(want.plainLse - want.lse) + want.lseFloor,
    });
    // Both carry their own error, and the dense kernel rounds to the storage type.
    piece.push({
      row,
      error: maxDifference(ring, dense),
      tolerance: 2 * tolerance + storingError(maxMagnitude(want.output), dtype, { flushes }),
    });
  }
  const part = (name: string, compared: readonly Compared[]): Part => {
    const worst = compared.reduce((a, b) => b.error / b.tolerance > a.error / a.tolerance ? b : a);
    return {
      name,
      passed: compared.every(({ error, tolerance }) => error <= tolerance),
      maxError: Number.isFinite(worst.error) ? worst.error : null,
      tolerance: worst.tolerance,
      detail: `${compared.length} rows of head ${head}, d = ${headDim}, closest: row ${worst.row}`,
    };
  };
  return [part("output", output), part("log-sum-exp", statistic), part("in one piece", piece)];
}

interface Compared {
  readonly row: number;
  readonly error: number;
  readonly tolerance: number;
}
