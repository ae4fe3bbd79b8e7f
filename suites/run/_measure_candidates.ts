/**
 * Measures the candidates of `_candidates.ts` on a GPU with matrix units, beside their defaults:
 *
 *     deno run -A suites/run/_measure_candidates.ts OUT.json [SECONDS]
 *
 * Each candidate is compared with float64 (601 rows, several rectangles) before it is timed; at the
 * measured size its results are compared with the default's. Rounds go through all candidates of a
 * group and back; ratios are of rounds. Prints a table, and writes all samples to OUT.json.
 *
 * Long because it is one program that waits for one run on a device: what is won moves into the kernels,
 * and this goes.
 *
 * @module
 */
import {
  createDenseAttention,
  planDenseAttention,
} from "../../kernels/dense_attention/dense_attention.ts";
import {
  createDenseBackward,
  planDenseBackward,
} from "../../kernels/dense_attention/dense_attention_backward.ts";
import { dense } from "../../kernels/dense_attention/dense_layer.ts";
import {
  createMatrixScratch,
  hasRoom,
  type MatrixBackwardScratch,
} from "../../kernels/dense_attention/matrix/dense_matrix_backward.ts";
import {
  type MatrixBackwardTiling,
  type MatrixTiling,
  tilingName,
} from "../../kernels/dense_attention/tilings.ts";
import {
  createTensor,
  type Dispatch,
  readRows,
  type Tensor,
  type TensorShape,
} from "../../kernels/gpu/buffers.ts";
import { inspectTensor } from "../../kernels/gpu/inspect.ts";
import { openDevice } from "../../kernels/gpu/open_device.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import { Timer, type Timing } from "../../kernels/gpu/timing.ts";
import { within } from "../../kernels/gpu/within.ts";
import type { Problem } from "../../kernels/implementation.ts";
import { lighthouseImplementation } from "../../kernels/lighthouse/lighthouse_attention.ts";
import { checkOutputs, failureOf } from "../check/check.ts";
import { holdWorkers } from "../check/worker_pool.ts";
import { errorLine } from "../errors.ts";
import { bootstrapRatio, summarize } from "../statistics/statistics.ts";
import {
  BACKWARD_GROUPS,
  type Candidate,
  type CandidateGroup,
  KEY_VALUE_GROUPS,
  LAYERS,
  QUERY_GROUPS,
} from "./_candidates.ts";

const SEED = 1010;
const HEADS = 8;
const CHECK_ROWS = 601;
/** Rows of the rectangles of a check. */
const CHECK_CUT = 256;
const ROUNDS = 6;
const SAMPLE_SECONDS = 5e-3;
const COMPILE_SECONDS = 60;

/** One candidate, measured. */
interface Entry {
  readonly group: string;
  readonly name: string;
  readonly estimate: string;
  readonly flops?: number;
  /** Why it has no times. */
  refused?: string;
  /** What its results at the measured size are, beside the default's. */
  beside?: string;
  /** One array a round. */
  readonly seconds: number[][];
  /** Microseconds by stage. */
  stages?: Record<string, number>;
}

/** One thing to time. */
interface Work {
  readonly entry: Entry;
  readonly run: (repeat: number) => Promise<Timing>;
}

const [out, limit = "110"] = Deno.args;
if (!out) {
  console.error("measure candidates: no output file is given");
  Deno.exit(2);
}
const deadline = performance.now() + Number(limit) * 1e3;
const gpu = await openDevice({ stack: "dawn" });
const timer = new Timer(gpu);
const entries: Entry[] = [];

function write(): void {
  const { adapter, capabilities } = gpu;
  const { subgroupMatrix } = capabilities;
  const record = { adapter, subgroupMatrix, heads: HEADS, seed: SEED, entries };
  Deno.writeTextFileSync(out, JSON.stringify(record, undefined, 1) + "\n");
}

function addEntry(group: string, name: string, estimate: string, flops?: number): Entry {
  const entry: Entry = { group, name, estimate, flops, seconds: [] };
  entries.push(entry);
  return entry;
}

function secondsOf({ gpuSeconds, wallSeconds }: Timing): number {
  return gpuSeconds ?? wallSeconds;
}

let warm: Dispatch[] | undefined;

/** Raises the clock: dense attention for half a second. */
async function warmUp(): Promise<void> {
  if (!warm) {
    const room = new Room(HEADS, 16_384, 128);
    warm = await forwardDispatches(
      { heads: HEADS, rows: 16_384, headDim: 128 },
      await room.inputs(),
    );
  }
  const end = performance.now() + 500;
  while (performance.now() < end) await run(warm, 20);
}

/** Rounds through all works and back. The first of them is the default. */
async function measure(works: readonly Work[]): Promise<void> {
  const repeats: number[] = [];
  await warmUp();
  for (const { run } of works) {
    await run(1);
    const once = secondsOf(await run(1));
    repeats.push(Math.min(100, Math.max(1, Math.ceil(SAMPLE_SECONDS / once))));
  }
  const order = [...works.keys(), ...[...works.keys()].reverse()];
  for (let round = 0; round < ROUNDS && performance.now() < deadline; round++) {
    works.forEach(({ entry }) => entry.seconds.push([]));
    for (const at of order) {
      const { entry, run } = works[at];
      entry.seconds[round].push(secondsOf(await run(repeats[at])));
    }
  }
  write();
}

/** Runs an action; its failure, if any, becomes the entry's. */
async function attempt<T>(entry: Entry, action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    entry.refused = errorLine(error);
    console.log(`${entry.group}, ${entry.name}: ${entry.refused}`);
    return undefined;
  }
}

let turn: Promise<unknown> = Promise.resolve();

/** Runs one action at a time, in the order of the calls: the device and the timer are shared. */
function alone<T>(action: () => Promise<T>): Promise<T> {
  const mine = turn.then(action);
  turn = mine.catch(() => {});
  return mine;
}

const data = ({ blocks }: Tensor) => blocks[0].data;

/** Tensors of one size; all are freed together. */
class Room {
  readonly #tensors: Tensor[] = [];
  constructor(readonly heads: number, readonly rows: number, readonly headDim: number) {}
  async tensor(label: string, shape: Partial<TensorShape> = {}): Promise<Tensor> {
    const { heads, rows, headDim: dim } = this;
    const made = await createTensor(gpu, { heads, rows, dim, dtype: "f16", ...shape }, { label });
    this.#tensors.push(made);
    return made;
  }
  async seeded(label: string, offset: number): Promise<Tensor> {
    const made = await this.tensor(label);
    await fillSeeded(gpu, made, SEED + offset);
    return made;
  }
  async inputs() {
    return {
      q: await this.seeded("q", 0),
      k: await this.seeded("k", 1),
      v: await this.seeded("v", 2),
      output: await this.tensor("output"),
      lse: await this.tensor("lse", { dim: 1, dtype: "f32" }),
    };
  }
  async gradients() {
    return {
      outputGradient: await this.seeded("dO", 3),
      delta: await this.tensor("delta", { dim: 1, dtype: "f32" }),
      q: await this.tensor("dQ"),
      k: await this.tensor("dK"),
      v: await this.tensor("dV"),
    };
  }
  destroy(): void {
    this.#tensors.splice(0).forEach((tensor) => tensor.destroy());
  }
}

const run = (dispatches: readonly Dispatch[], repeat = 1) =>
  timer.run([{ name: "candidate", dispatches }], { repeat });

function backwardPlan(
  size: { heads: number; rows: number; headDim: number; flopsPerDispatch?: number },
  matrixTilings: { query: MatrixBackwardTiling; keyValue: MatrixBackwardTiling },
) {
  return planDenseBackward(gpu, { ...size, dtype: "f16", kernel: "matrix", matrixTilings });
}

async function forwardDispatches(
  size: { heads: number; rows: number; headDim: number },
  { q, k, v, output, lse }: Awaited<ReturnType<Room["inputs"]>>,
  matrixTiling?: MatrixTiling,
): Promise<Dispatch[]> {
  const plan = planDenseAttention(gpu, { ...size, dtype: "f16", kernel: "matrix", matrixTiling });
  const kernel = await createDenseAttention(gpu, plan);
  return kernel.bind({ q: data(q), k: data(k), v: data(v), o: data(output), lse: data(lse) });
}

/** Compiles a kernel; the result compares it with float64 at a small size and throws what is wrong. */
async function prepareCheck(
  headDim: number,
  given: { forward?: MatrixTiling; query?: MatrixBackwardTiling; keyValue?: MatrixBackwardTiling },
): Promise<() => Promise<void>> {
  const size = { heads: 2, rows: CHECK_ROWS, headDim };
  const room = new Room(size.heads, size.rows, headDim);
  const inputs = await room.inputs();
  const { q, k, v, output, lse } = inputs;
  const dispatches = await forwardDispatches(size, inputs, given.forward);
  const backward = !given.forward;
  const { outputGradient, delta, ...gradients } = await room.gradients();
  if (backward) {
    const flopsPerDispatch = CHECK_CUT ** 2 * 8 * headDim * size.heads;
    const plan = backwardPlan({ ...size, flopsPerDispatch }, tilingsWith(given));
    const kernel = await createDenseBackward(gpu, plan);
    dispatches.push(...kernel.bind({
      q: data(q),
      k: data(k),
      v: data(v),
      o: data(output),
      lse: data(lse),
      outputGradient: data(outputGradient),
      delta: data(delta),
      queryGradient: data(gradients.q),
      keyGradient: data(gradients.k),
      valueGradient: data(gradients.v),
    }));
  }
  const execute = () => run(dispatches);
  const layer = {
    stages: [],
    execute,
    outputs: { output, lse, ...backward && { gradients } },
    destroy: () => {},
  };
  return async () => {
    await execute();
    const found = await checkOutputs(gpu, layer, {
      problem: {
        shape: { heads: size.heads, context: size.rows, headDim, dtype: "f16" },
        direction: backward ? "forward-backward" : "forward",
      },
      implementation: dense,
      inputs: { q, k, v, outputGradient },
      seed: SEED,
      extent: "whole",
      kernel: "matrix",
    });
    room.destroy();
    const failure = failureOf(found.check);
    if (failure) throw new RangeError(failure);
  };
}

/** Both tilings of a backward pass, the missing one the default. */
function tilingsWith(
  { query, keyValue }: { query?: MatrixBackwardTiling; keyValue?: MatrixBackwardTiling },
) {
  return {
    query: query ?? QUERY_GROUPS[0].candidates[0].tiling,
    keyValue: keyValue ?? KEY_VALUE_GROUPS[0].candidates[0].tiling,
  };
}

const SAMPLED = 64;

/** Digests of tensors, and rows of their first and last head. */
async function recordResults(tensors: readonly Tensor[]) {
  const digests: string[] = [];
  const rows: number[][] = [];
  for (const tensor of tensors) {
    digests.push((await inspectTensor(gpu, tensor)).digest);
    for (const [head, first] of [[0, 0], [tensor.heads - 1, tensor.rows - SAMPLED]]) {
      rows.push(Array.from(await readRows(gpu, tensor, { head, first, count: SAMPLED })));
    }
  }
  return { digests, rows };
}

type Results = Awaited<ReturnType<typeof recordResults>>;

/** How results differ from the default's; throws if by too much. */
function besideDefault(own: Results, known: Results): string {
  if (own.digests.every((digest, i) => digest === known.digests[i])) return "same bits";
  let worst = 0;
  for (const [i, rows] of known.rows.entries()) {
    const most = rows.reduce((all, x) => Math.max(all, Math.abs(x)), 0);
    rows.forEach((x, at) => worst = Math.max(worst, Math.abs(own.rows[i][at] - x) / most));
  }
  if (!(worst <= 0.01)) throw new RangeError(`differs from the default by ${worst} of the largest`);
  return `within ${worst.toExponential(1)} of the largest`;
}

/** A pass, or all of the backward pass with tilings of the pass over keys and values. */
type TimedPass = "forward" | "query" | "keyValue" | "both";

/** A group of tilings of one pass. */
async function measureTilings<T extends MatrixTiling>(
  pass: TimedPass,
  { headDim, rows, candidates }: CandidateGroup<T>,
): Promise<void> {
  const titles = { forward: "forward", query: "dQ", keyValue: "dK and dV", both: "backward" };
  const title = titles[pass];
  const size = { heads: HEADS, rows, headDim };
  const room = new Room(HEADS, rows, headDim);
  const scratches: MatrixBackwardScratch[] = [];
  try {
    const inputs = await room.inputs();
    const { q, k, v, output, lse } = inputs;
    await run(await forwardDispatches(size, inputs));
    const { outputGradient, delta, ...gradients } = pass === "forward"
      ? { outputGradient: undefined, delta: undefined }
      : await room.gradients();
    const kernelOf = pass === "both" ? "keyValue" : pass;
    const bind = async ({ tiling, cut }: Candidate<T>) => {
      if (!outputGradient || !delta || !("q" in gradients)) {
        const all = await forwardDispatches(size, inputs, tiling);
        return { all, own: all };
      }
      const flopsPerDispatch = cut && cut ** 2 * 8 * headDim * HEADS;
      const plan = backwardPlan({ ...size, flopsPerDispatch }, tilingsWith({ [kernelOf]: tiling }));
      let scratch = scratches.find((made) => hasRoom(made, plan.schedule!));
      if (!scratch) scratches.push(scratch = await createMatrixScratch(gpu, plan.schedule!));
      const kernel = await createDenseBackward(gpu, plan, { scratch });
      const buffers = {
        q: data(q),
        k: data(k),
        v: data(v),
        o: data(output),
        lse: data(lse),
        outputGradient: data(outputGradient),
        delta: data(delta),
        queryGradient: data(gradients.q),
        keyGradient: data(gradients.k),
        valueGradient: data(gradients.v),
      };
      const passes = kernel.bindPasses(buffers);
      const all = kernel.bind(buffers);
      if (pass === "both") return { all, own: all };
      return { all, own: pass === "query" ? passes.query : passes.keyValue };
    };
    const results = "q" in gradients
      ? [gradients.q as Tensor, gradients.k as Tensor, gradients.v as Tensor]
      : [output];
    let known: Results | undefined;
    const works: Work[] = [];
    for (const candidate of candidates) {
      const tiling = tilingName(candidate.tiling);
      const name = candidate.cut ? `${tiling} cut ${candidate.cut}` : tiling;
      const group = `${title} d ${headDim} N ${rows}`;
      const entry = addEntry(group, name, candidate.estimate, flopsOf(pass, size));
      entry.refused = failures.get(`${kernelOf} ${headDim} ${tiling}`);
      if (entry.refused) continue;
      await attempt(entry, async () => {
        const { all, own } = await bind(candidate);
        await run(all);
        const found = await recordResults(results);
        known ??= found;
        entry.beside = besideDefault(found, known);
        works.push({ entry, run: (repeat) => run(own, repeat) });
      });
    }
    await measure(works);
  } finally {
    scratches.forEach((scratch) => scratch.destroy());
    room.destroy();
  }
}

/** FLOP by convention: one product is N²·d per head, half of 2·N²·d. */
function flopsOf(
  pass: TimedPass,
  { heads, rows, headDim }: { heads: number; rows: number; headDim: number },
): number {
  return { forward: 2, query: 1, keyValue: 4, both: 5 }[pass] * heads * rows * (rows + 1) * headDim;
}

/** Lighthouse layers, whole and by stage. */
async function measureLayers(context: number): Promise<void> {
  const shape = { heads: HEADS, context, headDim: 128, dtype: "f16" } as const;
  const budget = Math.max(128, context / 64);
  const problem: Problem = { shape, options: { levels: 3, pooling: 4, k: budget } };
  const room = new Room(HEADS, shape.context, shape.headDim);
  const { q, k, v } = await room.inputs();
  const works: Work[] = [];
  const staged: (() => Promise<void>)[] = [];
  let known: string | undefined;
  for (const { name, tuning, estimate } of LAYERS) {
    const entry = addEntry(`Lighthouse norm N ${context}`, name, estimate);
    await attempt(entry, async () => {
      const implementation = lighthouseImplementation({ name, title: name, tuning });
      const layer = await implementation.prepare(gpu, problem, { inputs: { q, k, v } });
      await layer.execute();
      const found = await checkOutputs(gpu, layer, {
        problem,
        implementation,
        inputs: { q, k, v },
        seed: SEED,
        extent: "sampled",
      });
      const failure = failureOf(found.check);
      if (failure) throw new RangeError(failure);
      const digest = JSON.stringify(found.digest);
      known ??= digest;
      if (digest !== known) throw new RangeError("its bits are not the default's");
      entry.beside = "same bits";
      works.push({ entry, run: (repeat) => layer.execute({ repeat }) });
      staged.push(async () => {
        const times: number[][] = layer.stages.map(() => []);
        for (let i = 0; i < 5; i++) {
          const { stages } = await layer.execute({ stages: true, repeat: 20 });
          stages?.forEach((seconds, at) => times[at].push(seconds));
        }
        entry.stages = Object.fromEntries(
          layer.stages.map((stage, at) => [
            stage,
            Number((summarize(times[at]).median * 1e6).toFixed(1)),
          ]),
        );
      });
    });
  }
  await measure(works);
  await warmUp();
  for (const stage of staged) await stage();
  write();
  room.destroy();
}

// ---- All of it ----

/** Why a tiling cannot be measured, by pass, head dimension and name. */
const failures = new Map<string, string>();

/** Compiles everything at once, then checks it one after the other. */
async function checkTilings(): Promise<void> {
  const all = new Map<string, () => Promise<() => Promise<void>>>();
  const add = <T extends MatrixTiling>(
    pass: "forward" | "query" | "keyValue",
    groups: readonly CandidateGroup<T>[],
  ) => {
    for (const { headDim, candidates } of groups) {
      for (const { tiling } of candidates) {
        all.set(
          `${pass} ${headDim} ${tilingName(tiling)}`,
          () => prepareCheck(headDim, { [pass]: tiling }),
        );
      }
    }
  };
  add("keyValue", [...KEY_VALUE_GROUPS, ...BACKWARD_GROUPS]);
  add("query", QUERY_GROUPS);
  // Concurrently, so that drivers compile on all processors.
  await Promise.all([...all].map(async ([name, action]) => {
    const from = performance.now();
    try {
      const compiled = await within(action(), { seconds: COMPILE_SECONDS, doing: "compiling it" });
      const seconds = (performance.now() - from) / 1e3;
      await alone(compiled);
      console.log(`${name}: matches float64; compiled in ${seconds.toFixed(1)} s`);
    } catch (error) {
      failures.set(name, errorLine(error));
      console.log(`${name}: ${errorLine(error)}`);
    }
  }));
}

function printTable(): void {
  let group = "";
  let first: Entry | undefined;
  for (const entry of entries) {
    if (entry.group !== group) {
      group = entry.group;
      first = entry;
      console.log(`\n${group}`);
    }
    const cells = [entry.name.padEnd(34)];
    if (entry.refused || entry.seconds.length === 0) {
      cells.push(entry.refused ?? "not measured: no time was left");
    } else {
      const { median } = summarize(entry.seconds.flat());
      const rate = entry.flops ? `${(entry.flops / median / 1e12).toFixed(0)} TFLOP/s` : "";
      cells.push(`${(median * 1e6).toFixed(1)} us`.padStart(12), rate.padStart(12));
      if (first && first !== entry && first.seconds.length === entry.seconds.length) {
        const rounds = entry.seconds.map((taken, i) => ({
          numerator: first!.seconds[i],
          denominator: taken,
        }));
        const { estimate, low, high } = bootstrapRatio(rounds);
        cells.push(`${estimate.toFixed(3)} x (${low.toFixed(3)}-${high.toFixed(3)})`.padStart(22));
      } else {
        cells.push("".padStart(22));
      }
      cells.push(entry.beside ?? "", `[${entry.estimate}]`);
    }
    console.log(cells.join("  "));
    if (entry.stages) console.log(`    ${JSON.stringify(entry.stages)}`);
  }
}

{
  using _workers = holdWorkers();
  const start = performance.now();
  const steps: [string, () => Promise<void>][] = [
    ["checks", checkTilings],
    ["dK and dV", () => measureTilings("keyValue", KEY_VALUE_GROUPS[0])],
    ["backward", () => measureTilings("both", BACKWARD_GROUPS[0])],
    ...[8192, 131_072].map((context): [string, () => Promise<void>] => [
      "Lighthouse",
      () => measureLayers(context),
    ]),
    ...QUERY_GROUPS.map((group): [string, () => Promise<void>] => [
      "dQ",
      () => measureTilings("query", group),
    ]),
    ...KEY_VALUE_GROUPS.slice(1).map((group): [string, () => Promise<void>] => [
      "dK and dV",
      () => measureTilings("keyValue", group),
    ]),
  ];
  for (const [name, step] of steps) {
    if (performance.now() > deadline) {
      console.log(`${name}: left out, no time was left`);
      continue;
    }
    try {
      await step();
    } catch (error) {
      console.log(`${name}: ${errorLine(error)}`);
    }
    console.log(`${name}: ${((performance.now() - start) / 1e3).toFixed(1)} s so far`);
  }
  write();
  printTable();
}
Deno.exit(0);
