/// <reference lib="dom" />
/**
 * One dense and one Lighthouse layer on the WebGPU that runs this: a page in a browser, or Deno.
 * Each is checked against float64. The Lighthouse layer is that of a golden vector, so its
 * selection must have the digest of the published implementation.
 *
 * Bundled by `deno task page`. Loading the bundle defines `runLayers` and, in a page, runs it; the
 * address `index.html#backward` adds the gradients.
 *
 * @module
 */
import {
  denseAttention,
  denseAttentionReference,
  denseBackwardReference,
  digestSelection,
  type Gpu,
  type GradientRow,
  lighthouseAttention,
  lighthouseBackwardReference,
  lighthouseReference,
  openDevice,
  pcgSum4,
  planGeometry,
  scatterReference,
  type Timing,
  worstRatio,
} from "../../kernels/mod.ts";

/** The results of one layer. */
export interface LayerReport {
  name: string;
  /** Largest error of any result over its tolerance: at most 1 if rounding explains all errors. */
  error: number;
  /** SHA-256 of the selection, for Lighthouse. */
  selection?: string;
  /**
   * GPU time if the device has timestamps, otherwise wall-clock time; compilation is not included.
   */
  seconds: number;
}

/** The results of the layers, and the adapter. */
export interface PageReport {
  adapter: string;
  stack: string;
  layers: LayerReport[];
}

/** The head dimension of both layers, so that they share a kernel that compiles slowly. */
const DIM = 32;

type Rows = Float32Array | Float16Array;

/** Q, K, V and dO `[heads, context, DIM]`, the same numbers on every machine. */
function seededInputs(seed: number, { heads, context }: { heads: number; context: number }) {
  const draw = (seed: number) => {
    const rows = new Float32Array(heads * context * DIM);
    for (let h = 0, at = 0; h < heads; h++) {
      for (let n = 0; n < context; n++) {
        for (let c = 0; c < DIM; c++) rows[at++] = pcgSum4(seed, (n * heads + h) * DIM + c);
      }
    }
    return rows;
  };
  return { q: draw(seed), k: draw(seed + 1), v: draw(seed + 2), outputGradient: draw(seed + 3) };
}

/** The rows of the first head. */
function firstHead<T extends Record<string, Rows>>(
  tensors: T,
  context: number,
): Record<keyof T, Rows> {
  const rows = Object.entries(tensors).map(([name, all]) => [name, all.subarray(0, context * DIM)]);
  return Object.fromEntries(rows);
}

function worstGradient(
  got: Record<"q" | "k" | "v", Rows>,
  want: Record<"q" | "k" | "v", GradientRow>,
): number {
  const names = ["q", "k", "v"] as const;
  return Math.max(
    ...names.map((name) => worstRatio(got[name], want[name].gradient, want[name].tolerance)),
  );
}

async function runDense(gpu: Gpu, { backward }: { backward: boolean }): Promise<LayerReport> {
  const [heads, context] = [2, 300];
  const { outputGradient, ...inputs } = seededInputs(1010, { heads, context });
  const result = await denseAttention(gpu, inputs, { heads, headDim: DIM });
  const head = { ...firstHead(inputs, context), headDim: DIM };
  const want = denseAttentionReference(head);
  const output = result.output.subarray(0, context * DIM);
  const report = {
    name: `dense, N = ${context}, H = ${heads}, d = ${DIM}`,
    error: worstRatio(output, want.output, want.tolerance),
    seconds: secondsOf(result),
  };
  if (!backward) return report;
  const both = await denseAttention(gpu, { ...inputs, outputGradient }, { heads, headDim: DIM });
  const gradients = denseBackwardReference({
    ...head,
    outputGradient: outputGradient.subarray(0, context * DIM),
  });
  const error = worstGradient(firstHead(both.gradients, context), gradients);
  return { ...report, error: Math.max(report.error, error), seconds: secondsOf(both) };
}

/** The case `s0_norm_2048` of fixtures/golden. */
async function runLighthouse(gpu: Gpu, { backward }: { backward: boolean }): Promise<LayerReport> {
  const [heads, context] = [2, 2048];
  const options = { heads, headDim: DIM, levels: 3, pooling: 4, k: 128 };
  const { outputGradient, ...inputs } = seededInputs(50000, { heads, context });
  const result = await lighthouseAttention(gpu, inputs, options);
  const geometry = planGeometry(context, options);
  const head = firstHead(inputs, context);
  const want = lighthouseReference(head, geometry, options);
  // For each gathered row, and for the sum over the levels that reach a row; nothing may be zero.
  const attended = denseAttentionReference({ ...want.gathered, headDim: DIM });
  const carried = scatterReference(attended.tolerance, want.selection, geometry);
  const sizes = scatterReference(attended.output.map(Math.abs), want.selection, geometry);
  const tolerance = carried.map((value, i) =>
    value + geometry.levels * 2 ** -24 * (sizes[i] + value) + 2 ** -149
  );
  const output = result.output.subarray(0, context * DIM);
  const report = {
    name: `lighthouse-norm, N = ${context}, H = ${heads}, d = ${DIM}, L = 3, p = 4, k = 128`,
    error: worstRatio(output, want.output, tolerance),
    selection: await digestSelection(result.selection),
    seconds: secondsOf(result),
  };
  if (!backward) return report;
  const both = await lighthouseAttention(gpu, { ...inputs, outputGradient }, options);
  const gradients = lighthouseBackwardReference(
    { ...head, outputGradient: outputGradient.subarray(0, context * DIM) },
    geometry,
    { headDim: DIM, selection: want.selection },
  );
  const error = worstGradient(firstHead(both.gradients, context), gradients);
  return { ...report, error: Math.max(report.error, error), seconds: secondsOf(both) };
}

function secondsOf({ timing }: { timing: Timing }): number {
  return timing.gpuSeconds ?? timing.wallSeconds;
}

/** Opens the device and runs both layers. */
export async function runLayers({ backward = false } = {}): Promise<PageReport> {
  const gpu = await openDevice();
  try {
    const { vendor, architecture, description } = gpu.adapter;
    return {
      adapter: description || `${vendor} ${architecture}`,
      stack: gpu.stack,
      layers: [await runDense(gpu, { backward }), await runLighthouse(gpu, { backward })],
    };
  } finally {
    gpu.destroy();
  }
}

async function showLayers(): Promise<void> {
  const status = document.getElementById("status")!;
  try {
    const backward = location.hash === "#backward";
    const { adapter, layers } = await runLayers({ backward });
    for (const { name, error, selection, seconds } of layers) {
      const row = document.createElement("tr");
      const cells = [
        name,
        error <= 1 ? "matches float64" : `wrong: ${error} times the tolerance`,
        selection ?? "",
        `${(seconds * 1e3).toPrecision(3)} ms`,
      ];
      for (const textContent of cells) {
        row.append(Object.assign(document.createElement("td"), { textContent }));
      }
      document.querySelector("tbody")!.append(row);
    }
    // Last: when the status appears, the table is complete.
    status.textContent = `On ${adapter}, ${backward ? "forward and backward" : "forward"}:`;
  } catch (error) {
    status.textContent = error instanceof Error ? error.message : String(error);
  }
}

Object.assign(globalThis, { runLayers });
if ("document" in globalThis) showLayers();
