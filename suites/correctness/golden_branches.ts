/**
 * Checks of a layer of several branches against golden vectors: output, log-sum-exp of each branch,
 * and all gradients, with the bounds of its own float64 reference.
 *
 * @module
 */
import { readTensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { range } from "../../kernels/gpu/wgsl.ts";
import type {
  Implementation,
  LayerInputs,
  Prepared,
  Problem,
  ReferenceResult,
} from "../../kernels/implementation.ts";
import { type BaselineCase, type Golden, goldenRows } from "../check/golden.ts";
import { type Comparison, judge, type VerifyCheck } from "./check_line.ts";
import { pickRows, readArray, withRounding } from "./golden_rows.ts";
import { headOf } from "./layer_run.ts";

/** The whole layer against golden vectors of some rows. */
export async function checkBranches(
  gpu: Gpu,
  prepared: Prepared,
  given: {
    readonly name: string;
    readonly golden: Golden;
    readonly entry: BaselineCase;
    readonly problem: Problem;
    readonly inputs: Required<LayerInputs>;
    readonly lists: Int32Array;
    readonly reference: NonNullable<Implementation["reference"]>;
  },
): Promise<VerifyCheck> {
  const { name, golden, entry, problem, inputs, lists, reference } = given;
  const { H: heads, N, D: dim, kvHeads, files } = entry;
  const { output, gradients, branches } = prepared.outputs;
  if (!branches || !gradients) throw new TypeError("check golden branches: the layer returns none");
  const [q, k, v, dO, gates] = await Promise.all(
    [inputs.q, inputs.k, inputs.v, inputs.outputGradient, branches.gates].map((tensor) =>
      readTensor(gpu, tensor)
    ),
  );
  const group = heads / kvHeads;
  const width = lists.length / kvHeads / N;
  const references = range(kvHeads).map((keyHead) => {
    const rowOf = (data: ArrayLike<number>, size: number) => (member: number, row: number) => {
      const first = ((keyHead * group + member) * N + row) * size;
      return Float64Array.from({ length: size }, (_, c) => data[first + c]);
    };
    return reference({
      problem,
      rows: range(N),
      group,
      keys: headOf(k, { head: keyHead, heads: kvHeads }),
      values: headOf(v, { head: keyHead, heads: kvHeads }),
      query: rowOf(q, dim),
      outputGradient: rowOf(dO, dim),
      gates: (member, row) => Array.from(rowOf(gates, 3)(member, row), (x) => x / 8 + 0.5),
      list: (row) => lists.subarray((keyHead * N + row) * width, (keyHead * N + row + 1) * width),
      halves: false,
      keyGradients: true,
    });
  });
  const rows = goldenRows(files.out, N);
  const comparisons: Comparison[] = [];
  const add = (got: ArrayLike<number>, want: Float32Array, tolerance: readonly number[]) =>
    comparisons.push({ got, want, tolerance: withRounding(tolerance, want) });
  const spread = (tolerances: readonly number[]) =>
    tolerances.flatMap((x) => Array<number>(dim).fill(x));
  const ofHead = (head: number) => ({
    found: references[Math.floor(head / group)].rows,
    member: head % group,
  });
  const [outputs, queries] = await Promise.all(
    [output, gradients.q].map((x) => readTensor(gpu, x)),
  );
  const [wantOutput, wantQueries] = await Promise.all(
    [files.out, files.dq].map((file) => readArray(golden, file)),
  );
  for (let head = 0; head < heads; head++) {
    const { found, member } = ofHead(head);
    const of = { rows, head, heads };
    const mine = rows.map((row) => found[row][member]);
    add(
      pickRows(outputs, of, dim),
      headOf(wantOutput, of) as Float32Array,
      spread(mine.map(({ outputTolerance }) => outputTolerance)),
    );
    add(
      pickRows(queries, of, dim),
      headOf(wantQueries, of) as Float32Array,
      spread(mine.map(({ queryTolerance }) => queryTolerance!)),
    );
  }
  for (const [name, tensor, tolerances] of statistics(branches)) {
    const want = await readArray(golden, files[name]);
    const count = want.length / 3;
    for (const [branch, part] of tensor.entries()) {
      const have = await readTensor(gpu, part);
      for (let head = 0; head < heads; head++) {
        const { found, member } = ofHead(head);
        const own = want.subarray(branch * count, (branch + 1) * count);
        const logs = headOf(own, { head, heads }) as Float32Array;
        const got = pickRows(have, { rows, head, heads }, 1);
        // Where a branch sees no key both are -∞, and their difference is no number.
        const seen = rows.map((_, i) => i).filter((i) => got[i] !== logs[i]);
        add(
          seen.map((i) => got[i]),
          Float32Array.from(seen, (i) => logs[i]),
          seen.map((i) => found[rows[i]][member][tolerances]![branch]),
        );
      }
    }
  }
  for (const name of ["k", "v"] as const) {
    const have = await readTensor(gpu, gradients[name]);
    const want = await readArray(golden, files[`d${name}`]);
    for (let keyHead = 0; keyHead < kvHeads; keyHead++) {
      const of = { head: keyHead, heads: kvHeads };
      add(
        pickRows(have, { rows, ...of }, dim),
        headOf(want, of) as Float32Array,
        spread(rows.map((row) => references[keyHead].keyGradients![name][row].tolerance)),
      );
    }
  }
  return judge(name, comparisons, `output, dQ, dK, dV and gates of ${heads * rows.length} rows`);
}

type Row = ReferenceResult["rows"][number][number];

/** Numbers of each branch, with the field of their tolerance. */
function statistics({ lse, gateGradients }: NonNullable<Prepared["outputs"]["branches"]>) {
  return [["lse", lse, "lseTolerance"], [
    "dgates",
    gateGradients!,
    "gateTolerances",
  ]] as const satisfies [
    string,
    typeof lse,
    keyof Row,
  ][];
}
