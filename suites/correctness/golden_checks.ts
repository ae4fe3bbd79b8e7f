/**
 * Checks against golden vectors: the device's result must equal the published implementation's.
 *
 * @module
 */
import { type Scores, selectOnDevice } from "../check/select_on_device.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { pcgSum4 } from "../../kernels/gpu/random.ts";
import type { Implementation, Problem } from "../../kernels/implementation.ts";
import type { LighthouseGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { selectReference } from "../../kernels/lighthouse/lighthouse_reference.ts";
import { sha256 } from "../result/digest.ts";
import { errorLine } from "../errors.ts";
import {
  type ForwardCase,
  type Golden,
  goldenGeometry,
  type SelectionCase,
} from "../check/golden.ts";
import { exact, judge, skipped, type VerifyCheck } from "./check_line.ts";
import { judgeGoldenGradients } from "./gradient_checks.ts";
import {
  EXACT_WINDOW_ROWS,
  gradientHeads,
  layerHeads,
  type LayerReference,
} from "./layer_reference.ts";
import { headOf, type LayerRun, runLayer } from "./layer_run.ts";

/** Scores of one head, `[P]` each. */
/** Scores of one head of a selection case: |pcg-sum4| of the case's seed and the next one. */
export function goldenScores(
  entry: SelectionCase,
  options: { geometry: LighthouseGeometry; head: number },
): Scores {
  const { entries } = options.geometry;
  const draw = (seed: number) =>
    Float32Array.from(
      { length: entries },
      (_, i) => Math.abs(pcgSum4(seed, options.head * entries + i)),
    );
  return { query: draw(entry.seed), key: draw(entry.seed + 1) };
}

/**
 * Compares the device's selection from the case's scores with its digest and, if given, its list.
 */
export async function checkGoldenSelection(
  gpu: Gpu,
  golden: Golden,
  entry: SelectionCase,
): Promise<VerifyCheck> {
  const geometry = goldenGeometry(entry);
  const got = new Int32Array(entry.H * geometry.gathered);
  for (let head = 0; head < entry.H; head++) {
    const scores = goldenScores(entry, { geometry, head });
    got.set(await selectOnDevice(gpu, geometry, scores), head * geometry.gathered);
  }
  const name = `golden selection ${describe(entry)}`;
  const listed = entry.indices === undefined
    ? undefined
    : await golden.readIndices(entry.indices, got.length);
  const listedDifference = listed && firstDifference(got, listed, geometry);
  if (listedDifference) return exact(name, false, `${entry.indices}: ${listedDifference}`);
  const digest = await sha256(got);
  if (digest === entry.sha256) {
    return exact(name, true, `${got.length} indices, sha256 ${digest.slice(0, 12)}…`);
  }
  const want = new Int32Array(got.length);
  for (let head = 0; head < entry.H; head++) {
    const { query, key } = goldenScores(entry, { geometry, head });
    want.set(selectReference(query, key, geometry), head * geometry.gathered);
  }
  return exact(
    name,
    false,
    `sha256 is ${digest}, the manifest says ${entry.sha256}; ` +
      (firstDifference(got, want, geometry) ?? "every index is as the reference selects"),
  );
}

/** Compares a whole layer with the golden indices and output. */
export async function checkGoldenLayer(
  gpu: Gpu,
  golden: Golden,
  options: { entry: ForwardCase; registry: readonly Implementation[] },
): Promise<VerifyCheck[]> {
  const { entry, registry } = options;
  const name = `golden layer ${describe(entry)} d=${entry.D}`;
  const implementation = registry.find(({ scorer, directions }) =>
    scorer?.name === entry.scorer && directions.includes("forward")
  );
  if (!implementation) return [skipped(name, `no implementation with the ${entry.scorer} scorer`)];
  const geometry = goldenGeometry(entry);
  if (geometry.windowRows > EXACT_WINDOW_ROWS) {
    return [skipped(name, `windows of ${geometry.windowRows} rows have no derived tolerance`)];
  }
  const files: Readonly<Record<string, { file: string }>> = entry.files;
  const backward = implementation.directions.includes("forward-backward") &&
    ["dq", "dk", "dv"].every((gradient) => gradient in files);
  const problem: Problem = {
    direction: backward ? "forward-backward" : "forward",
    shape: { heads: entry.H, context: entry.N, headDim: entry.D, dtype: "f32" },
    options: {
      levels: entry.L,
      pooling: entry.p,
      k: entry.k,
      dilation: entry.dilation ?? undefined,
    },
  };
  try {
    implementation.plan(gpu, problem);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return [skipped(name, errorLine(error))];
  }
  const { idx, out } = entry.files;
  const wantIndices = await golden.readIndices(idx.file, entry.H * entry.S);
  const wantOutput = await golden.readFloats(out.file, entry.H * entry.N * entry.D);
  const run = await runLayer(gpu, implementation, { problem, source: { seed: entry.seed } });
  const selection = run.selection!;
  const difference = firstDifference(selection, wantIndices, geometry);
  if (difference && !implementation.scorer!.exactSelection) {
    // These scores are sums whose order differs between implementations: near-ties may fall either
    // way, and with another selection the golden output cannot be compared.
    const recall = recallOf(selection, wantIndices, geometry);
    return [
      exact(
        `${name} selection`,
        recall >= LEAST_RECALL,
        `recall ${
          recall.toFixed(4)
        } of the golden selection, at least ${LEAST_RECALL} is required; ` +
          difference,
      ),
      skipped(`${name} output`, "the selection is not the golden one, bit for bit"),
    ];
  }
  if (difference) return [exact(`${name} selection`, false, `${idx.file}: ${difference}`)];
  const digest = await sha256(selection as Int32Array<ArrayBuffer>);
  if (digest !== entry.idx_sha256) {
    return [exact(
      `${name} selection`,
      false,
      `sha256 is ${digest}, the manifest says ${entry.idx_sha256}; every index is as in ${idx.file}`,
    )];
  }
  const layers = await layerHeads(run, problem);
  const checks = [
    exact(`${name} selection`, true, `${selection.length} indices from Q and K`),
    judgeGoldenOutput(`${name} output`, { entry, geometry, run, wantOutput, layers }),
  ];
  if (!backward) return checks;
  const read = (file: string) => golden.readFloats(files[file].file, wantOutput.length);
  const gradients = { q: await read("dq"), k: await read("dk"), v: await read("dv") };
  const references = await gradientHeads(run, problem, layers);
  checks.push(judgeGoldenGradients(`${name} gradients`, { run, references, golden: gradients }));
  return checks;
}

function judgeGoldenOutput(
  name: string,
  options: {
    entry: ForwardCase;
    geometry: LighthouseGeometry;
    run: LayerRun;
    wantOutput: Float32Array;
    layers: readonly LayerReference[];
  },
): VerifyCheck {
  const { entry, geometry, run, wantOutput, layers } = options;
  const comparisons = [];
  let zeroRows = 0;
  for (let head = 0; head < entry.H; head++) {
    const of = { head, heads: entry.H };
    const reference = layers[head];
    const got = headOf(run.output, of);
    comparisons.push({
      got,
      want: headOf(wantOutput, of),
      // The golden output has its own f32 roundings: one per added row, one per addition.
      tolerance: reference.tolerance.map((x, i) =>
        x + 2 * geometry.levels * 2 ** -24 * reference.magnitude[i]
      ),
    });
    for (let row = 0; row < entry.N; row++) {
      const values = got.subarray(row * entry.D, (row + 1) * entry.D);
      zeroRows += Number(values.every((x: number) => x === 0));
    }
  }
  // The heads together must have the manifest's count of uncovered rows.
  const verdict = judge(name, comparisons, `${zeroRows} zero rows`);
  if (zeroRows === entry.zero_rows) return verdict;
  return exact(name, false, `${zeroRows} zero rows, the manifest says ${entry.zero_rows}`);
}

/** Minimum recall of a golden selection whose scores depend on the order of f32 sums. */
const LEAST_RECALL = 0.99;

/** Share of the wanted entries that were selected, head by head. */
function recallOf(got: Int32Array, want: Int32Array, { gathered }: LighthouseGeometry): number {
  let found = 0;
  for (let first = 0; first < want.length; first += gathered) {
    const chosen = new Set(got.subarray(first, first + gathered));
    for (const entry of want.subarray(first, first + gathered)) found += Number(chosen.has(entry));
  }
  return found / want.length;
}

/** Names the first entry that differs; undefined if none does. */
function firstDifference(
  got: Int32Array,
  want: Int32Array,
  { gathered }: LighthouseGeometry,
): string | undefined {
  const at = want.findIndex((entry, i) => entry !== got[i]);
  if (at < 0) return undefined;
  const count = want.reduce((sum, entry, i) => sum + Number(entry !== got[i]), 0);
  return `${count} of ${want.length} entries differ, the first is head ${
    Math.floor(at / gathered)
  } position ${at % gathered}: ${got[at]} instead of ${want[at]}`;
}

function describe(entry: SelectionCase | ForwardCase): string {
  const { N, L, p, k, H } = entry;
  return `${entry.case} N=${N} L=${L} p=${p} k=${k} H=${H}`;
}
