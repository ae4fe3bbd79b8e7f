/**
 * Checks of sparse attentions against golden vectors: output, log-sum-exp, gradients and lists of blocks.
 *
 * @module
 */
import { createTensor, readTensor, type Tensor, writeTensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { fillSeeded, pcgSum4 } from "../../kernels/gpu/random.ts";
import type {
  Implementation,
  LayerInputs,
  Prepared,
  Problem,
} from "../../kernels/implementation.ts";
import { errorLine } from "../errors.ts";
import { sha256 } from "../result/digest.ts";
import { type BaselineCase, type Golden, goldenRows } from "../check/golden.ts";
import { checkBranches } from "./golden_branches.ts";
import { pickRows, readArray, withRounding } from "./golden_rows.ts";
import { visibleOf } from "../check/check_options.ts";
import { compareGradients, type GradientName } from "../check/gradient_check.ts";
import type { Visible } from "../check/row_spans.ts";
import { type Comparison, exact, judge, skipped, type VerifyCheck } from "./check_line.ts";
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
  if (entry.kvHeads !== entry.H) {
    return [skipped(name, `${entry.kvHeads} key heads of ${entry.H} are not computed yet`)];
  }
  const problem: Problem = {
    direction: "forward-backward",
    shape: { heads: entry.H, context: entry.N, headDim: entry.D, dtype: "f32" },
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
  const inputs = await createInputs(gpu, entry);
  try {
    const prepared = await implementation.prepare(gpu, problem, { inputs });
    try {
      await prepared.execute();
      const lists = implementation.selector && await prepared.outputs.readSelection?.();
      const visibleTo = (head: number): Visible =>
        visibleOf({ implementation, problem, lists }, head);
      if (implementation.reference && lists) {
        return [
          ...await checkSelection(name, { golden, entry, lists }),
          await checkBranches(gpu, prepared, {
            ...{ name: `${name} branches and gradients`, golden, entry, problem, inputs, lists },
            reference: implementation.reference,
          }),
        ];
      }
      const given = { golden, entry, problem, inputs, visibleTo };
      return [
        ...await (lists ? checkSelection(name, { golden, entry, lists }) : checkLists(name, given)),
        await checkOutput(gpu, prepared, { ...given, name: `${name} output` }),
        await checkGradients(gpu, prepared, { ...given, name: `${name} gradients` }),
      ];
    } finally {
      prepared.destroy();
    }
  } finally {
    destroyInputs(inputs);
  }
}

async function createInputs(gpu: Gpu, entry: BaselineCase): Promise<Required<LayerInputs>> {
  const { H: heads, N: rows, D: dim, seed } = entry;
  const tensors: Partial<Record<keyof LayerInputs, Tensor>> = {};
  for (const [i, [label, kind]] of INPUTS.entries()) {
    const tensor = await createTensor(gpu, { heads, rows, dim, dtype: "f32" }, { label });
    tensors[label] = tensor;
    if (entry.inputs[kind] !== "grid2") await fillSeeded(gpu, tensor, seed + i);
    else {
      const count = heads * rows * dim;
      const data = new Float32Array(count);
      for (let at = 0; at < count; at++) {
        // Counters go over rows, then heads.
        const [head, row, c] = [
          Math.floor(at / dim / rows),
          Math.floor(at / dim) % rows,
          at % dim,
        ];
        const value = pcgSum4(seed + i, (row * heads + head) * dim + c);
        data[at] = Math.floor(2 * value + 0.5) / 2;
      }
      writeTensor(gpu, tensor, data);
    }
  }
  return tensors as Required<LayerInputs>;
}

interface Given {
  readonly name: string;
  readonly golden: Golden;
  readonly entry: BaselineCase;
  readonly problem: Problem;
  readonly inputs: Required<LayerInputs>;
  readonly visibleTo: (head: number) => Visible;
}

/** Lists of key blocks of every block of queries, `[H, M, width]`, against what the rows see. */
async function checkLists(
  name: string,
  { golden, entry, visibleTo }: Omit<Given, "name">,
): Promise<VerifyCheck[]> {
  const { idx } = entry.files;
  const { block } = entry.options;
  const blocks = Math.ceil(entry.N / block);
  if (!idx || idx.shape[1] !== blocks) return [];
  const [heads, , width] = idx.shape;
  const want = await golden.readIndices(idx.file, heads * blocks * width);
  let wrong = 0;
  for (let head = 0; head < heads; head++) {
    const visible = visibleTo(head);
    for (let i = 0; i < blocks; i++) {
      const spans = visible(Math.min(entry.N, (i + 1) * block) - 1);
      const seen = spans.flatMap(({ first, end }) =>
        Array.from({ length: Math.ceil(end / block) - first / block }, (_, n) => first / block + n)
      );
      for (let n = 0; n < width; n++) {
        wrong += Number((seen[n] ?? -1) !== want[(head * blocks + i) * width + n]);
      }
    }
  }
  const count = want.length;
  return [exact(
    `${name} lists`,
    wrong === 0,
    wrong === 0 ? `${count} blocks` : `${wrong} of ${count} entries differ`,
  )];
}

/** Lists of blocks of every query, `[heads, rows, width]`: to the last entry, in all rows by their digest. */
async function checkSelection(
  name: string,
  { golden, entry, lists }: {
    readonly golden: Golden;
    readonly entry: BaselineCase;
    readonly lists: Int32Array;
  },
): Promise<VerifyCheck[]> {
  const { idx } = entry.files;
  if (!idx) return [];
  const [heads, count, width] = idx.shape;
  const want = await golden.readIndices(idx.file, heads * count * width);
  const rows = goldenRows(idx, entry.N);
  let wrong = 0;
  for (let head = 0; head < heads; head++) {
    for (const [i, row] of rows.entries()) {
      for (let n = 0; n < width; n++) {
        const found = lists[(head * entry.N + row) * width + n];
        wrong += Number(found !== want[(head * count + i) * width + n]);
      }
    }
  }
  const whole = typeof entry.idx_sha256 === "string"
    ? await sha256(lists as Int32Array<ArrayBuffer>) === entry.idx_sha256
    : true;
  return [exact(
    `${name} lists`,
    wrong === 0 && whole,
    wrong > 0
      ? `${wrong} of ${want.length} entries differ`
      : whole
      ? `${lists.length} entries`
      : "entries of rows that the folder does not hold differ",
  )];
}

async function checkOutput(
  gpu: Gpu,
  prepared: Prepared,
  { name, golden, entry, inputs, visibleTo }: Given,
): Promise<VerifyCheck> {
  const { H: heads, N, D: headDim, files } = entry;
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
    const reference = maskedReference(
      { q: exactHead(q, of), k: exactHead(k, of), v: exactHead(v, of) },
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
  const { H: heads, N, D: dim, files } = entry;
  const comparisons: Comparison[] = [];
  const got = await Promise.all(
    GRADIENTS.map(([label]) => readTensor(gpu, prepared.outputs.gradients![label])),
  );
  const want = await Promise.all(GRADIENTS.map(([, file]) => readArray(golden, files[file])));
  const rows = goldenRows(files.dq, N);
  for (let head = 0; head < heads; head++) {
    const found = await compareGradients(gpu, prepared, {
      problem,
      inputs,
      head,
      rows,
      exactFrom: () => 0,
      visible: visibleTo,
    });
    for (const [i, [label]] of GRADIENTS.entries()) {
      const own = headOf(want[i], { head, heads });
      const allowed = found.filter((one) => one.name === label).map(({ tolerance }) => tolerance);
      comparisons.push({
        got: pickRows(got[i], { rows, head, heads }, dim),
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
