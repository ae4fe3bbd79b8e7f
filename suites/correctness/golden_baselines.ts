/**
 * Checks of sparse attentions against golden vectors: output, log-sum-exp, gradients and lists of
 * blocks.
 *
 * @module
 */
import { createTensor, readTensor, type Tensor, writeTensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { fillSeeded, pcgSum4 } from "../../kernels/gpu/random.ts";
import type {
  Implementation,
  IndexInputs,
  LayerInputs,
  Prepared,
  Problem,
} from "../../kernels/implementation.ts";
import { inputShapes, keyHeadOf } from "../../kernels/key_heads.ts";
import { errorLine } from "../errors.ts";
import { type BaselineCase, type Golden, goldenRows } from "../check/golden.ts";
import { checkBranches } from "./golden_branches.ts";
import { checkLists, checkSelection } from "./golden_lists.ts";
import { pickRows, readArray, withRounding } from "./golden_rows.ts";
import { visibleOf } from "../check/check_options.ts";
import { compareGradients, type GradientName } from "../check/gradient_check.ts";
import type { Visible } from "../check/row_spans.ts";
import { type Comparison, judge, skipped, type VerifyCheck } from "./check_line.ts";
import { destroyInputs, exactHead, headOf } from "./layer_run.ts";
import { maskedReference } from "./references.ts";

/** Inputs in the order of their seeds: the layer's name, the manifest's. */
const INPUTS = [["q", "q"], ["k", "k"], ["v", "v"], ["outputGradient", "grad_out"]] as const;

/** A sparse layer in f32 against its golden vectors. */
export async function checkGoldenBaseline(
  gpu: Gpu,
  golden: Golden,
  { entry, registry }: { entry: BaselineCase; registry: readonly Implementation[] },
): Promise<VerifyCheck[]> {
  const name = `golden ${entry.method} ${describe(entry)}`;
  const implementation = registry.find((one) => one.name === entry.method);
  if (!implementation) return [skipped(name, `no implementation is named ${entry.method}`)];
  const problem: Problem = {
    direction: "forward-backward",
    shape: {
      heads: entry.H,
      ...(entry.kvHeads !== entry.H && { kvHeads: entry.kvHeads }),
      context: entry.N,
      headDim: entry.D,
      dtype: "f32",
    },
    options: implementation.reference
      ? { ...entry.options, gateSeed: (entry.seed + 4) >>> 0 }
      : entry.options,
  };
  try {
    implementation.plan(gpu, problem);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return [skipped(name, errorLine(error))];
  }
  const inputs = await createInputs(gpu, entry, problem);
  const index = implementation.tokens && await createIndex(gpu, entry);
  try {
    const prepared = await implementation.prepare(gpu, problem, { inputs, index });
    try {
      await prepared.execute();
      const selected = await prepared.outputs.readSelection?.();
      const lists = implementation.selector && selected;
      const tokens = implementation.tokens && selected;
      const visibleTo = (head: number): Visible =>
        visibleOf({ implementation, problem, lists, tokens }, head);
      if (implementation.reference && lists) {
        return [
          ...await checkSelection(name, { golden, entry, selected: lists, prepared }),
          await checkBranches(gpu, prepared, {
            ...{ name: `${name} branches and gradients`, golden, entry, problem, inputs, lists },
            reference: implementation.reference,
          }),
        ];
      }
      const given = { golden, entry, problem, inputs, visibleTo };
      return [
        ...await (selected
          ? checkSelection(name, { golden, entry, selected, prepared })
          : checkLists(name, given)),
        await checkOutput(gpu, prepared, { ...given, name: `${name} output` }),
        await checkGradients(gpu, prepared, { ...given, name: `${name} gradients` }),
      ];
    } finally {
      prepared.destroy();
    }
  } finally {
    destroyInputs(inputs);
    Object.values(index ?? {}).forEach((tensor) => tensor.destroy());
  }
}

async function createInputs(
  gpu: Gpu,
  entry: BaselineCase,
  { shape }: Problem,
): Promise<Required<LayerInputs>> {
  const tensors: Partial<Record<keyof LayerInputs, Tensor>> = {};
  for (const [i, [label, kind]] of INPUTS.entries()) {
    tensors[label] = await createTensor(gpu, inputShapes(shape)[label], { label });
    await fill(gpu, tensors[label], { kind: entry.inputs[kind], seed: entry.seed + i });
  }
  return tensors as Required<LayerInputs>;
}

/** Inputs of an index, by the manifest's names; their seeds are the fifth from the case's on. */
async function createIndex(
  gpu: Gpu,
  { N: rows, seed, options: { indexHeads, indexDim }, inputs }: BaselineCase,
): Promise<IndexInputs> {
  const make = async (i: number, kind: string, heads: number, dim: number) => {
    const tensor = await createTensor(gpu, { heads, rows, dim, dtype: "f32" }, { label: kind });
    await fill(gpu, tensor, { kind: inputs[kind], seed: seed + 5 + i });
    return tensor;
  };
  return {
    q: await make(0, "index_q", indexHeads, indexDim),
    k: await make(1, "index_k", 1, indexDim),
    w: await make(2, "index_w", indexHeads, 1),
  };
}

/** Fills a tensor as the manifest says: with seeded numbers, or these rounded to halves. */
async function fill(
  gpu: Gpu,
  tensor: Tensor,
  { kind, seed }: { readonly kind: "raw" | "grid2" | undefined; readonly seed: number },
): Promise<void> {
  if (kind !== "grid2") return await fillSeeded(gpu, tensor, seed);
  const { heads, rows, dim } = tensor;
  const count = heads * rows * dim;
  const data = new Float32Array(count);
  for (let at = 0; at < count; at++) {
    // Counters go over rows, then heads.
    const [head, row, c] = [Math.floor(at / dim / rows), Math.floor(at / dim) % rows, at % dim];
    data[at] = Math.floor(2 * pcgSum4(seed, (row * heads + head) * dim + c) + 0.5) / 2;
  }
  writeTensor(gpu, tensor, data);
}

interface Given {
  readonly name: string;
  readonly golden: Golden;
  readonly entry: BaselineCase;
  readonly problem: Problem;
  readonly inputs: Required<LayerInputs>;
  readonly visibleTo: (head: number) => Visible;
}

async function checkOutput(
  gpu: Gpu,
  prepared: Prepared,
  { name, golden, entry, inputs, visibleTo }: Given,
): Promise<VerifyCheck> {
  const { H: heads, kvHeads, N, D: headDim, files } = entry;
  const [q, k, v, output, lse] = await Promise.all(
    [inputs.q, inputs.k, inputs.v, prepared.outputs.output, prepared.outputs.lse].map((tensor) =>
      readTensor(gpu, tensor)
    ),
  );
  const wantOutput = await readArray(golden, files.out);
  const wantLse = files.lse && await readArray(golden, files.lse);
  const rows = goldenRows(files.out, N);
  const comparisons: Comparison[] = [];
  for (let head = 0; head < heads; head++) {
    const of = { head, heads };
    const ofKeys = { head: keyHeadOf({ heads, kvHeads }, head), heads: kvHeads };
    const reference = maskedReference(
      { q: exactHead(q, of), k: exactHead(k, ofKeys), v: exactHead(v, ofKeys) },
      { headDim, visible: visibleTo(head), chosen: rows, dtype: "f32", weights: "f32" },
    );
    const want = headOf(wantOutput, of);
    comparisons.push({
      got: pickRows(output, { rows, ...of }, headDim),
      want,
      tolerance: withRounding(reference.tolerance, want),
    });
    if (!wantLse) continue;
    const logs = headOf(wantLse, of);
    comparisons.push({
      got: pickRows(lse, { rows, ...of }, 1),
      want: logs,
      tolerance: withRounding(reference.lseTolerance, logs),
    });
  }
  return judge(name, comparisons, `${heads * rows.length} rows`);
}

const GRADIENTS = [["q", "dq"], ["k", "dk"], ["v", "dv"]] as const satisfies readonly [
  GradientName,
  string,
][];

async function checkGradients(
  gpu: Gpu,
  prepared: Prepared,
  { name, golden, entry, problem, inputs, visibleTo }: Given,
): Promise<VerifyCheck> {
  const { H: heads, kvHeads, N, D: dim, files } = entry;
  const comparisons: Comparison[] = [];
  const got = await Promise.all(
    GRADIENTS.map(([label]) => readTensor(gpu, prepared.outputs.gradients![label])),
  );
  const want = await Promise.all(GRADIENTS.map(([, file]) => readArray(golden, files[file])));
  const rows = goldenRows(files.dq, N);
  for (let head = 0; head < heads; head++) {
    // dK and dV of a key head are those of all its query heads.
    const names: readonly GradientName[] = head % (heads / kvHeads) === 0 ? ["q", "k", "v"] : ["q"];
    const found = await compareGradients(gpu, prepared, {
      problem,
      inputs,
      head,
      rows,
      names,
      exactFrom: () => 0,
      visible: visibleTo,
    });
    for (const [i, [label]] of GRADIENTS.entries()) {
      if (!names.includes(label)) continue;
      const of = label === "q"
        ? { head, heads }
        : { head: keyHeadOf({ heads, kvHeads }, head), heads: kvHeads };
      const own = headOf(want[i], of);
      const allowed = found.filter((one) => one.name === label).map(({ tolerance }) => tolerance);
      comparisons.push({
        got: pickRows(got[i], { rows, ...of }, dim),
        want: own,
        tolerance: withRounding(allowed.flatMap((x) => Array<number>(dim).fill(x)), own),
      });
    }
  }
  return judge(name, comparisons, "dQ, dK, dV");
}

function describe({ case: label, N, H, D, options }: BaselineCase): string {
  const own = Object.entries(options).map(([name, value]) => `${name}=${value}`);
  return [label, `N=${N}`, `H=${H}`, `d=${D}`, ...own].join(" ");
}
