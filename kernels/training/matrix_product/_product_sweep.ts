/**
 * Times a product with many tilings on one device, each after its check.
 *
 * @module
 */
import { median } from "simple-statistics";
import { showExcess } from "../../gpu/bytes.ts";
import type { Gpu } from "../../gpu/device.ts";
import { Timer } from "../../gpu/timing.ts";
import { createSampledProduct } from "./_sampled_product.ts";
import { probeName, type ProductProbe } from "./_product_probes.ts";
import { createProduct, planProduct, type Product } from "./matrix_product.ts";
import { type MatrixProductTiling, productTilingName } from "./product_tilings.ts";
import type { ProductOptions, ProductPlan } from "./types.ts";

/** A product and how it is computed. */
export interface SweptProduct {
  /** Names the product in results. */
  readonly name: string;
  /** The product, without a tiling. */
  readonly options: ProductOptions;
  /** What is tried: tilings on matrix units, or the plan's own choice. */
  readonly variants: readonly SweptVariant[];
}

/** A way to compute a product. */
export interface SweptVariant {
  /** Absent: the plan's choice. */
  readonly matrixTiling?: MatrixProductTiling;
  /** Absent: the plan's choice. */
  readonly slices?: number;
  /** A change of the shader, which is timed without a check. */
  readonly probe?: Pick<ProductProbe, "what" | "change">;
}

/** What was measured of a variant, or why nothing was. */
export interface SweepRow {
  readonly product: string;
  readonly form: string;
  readonly size: readonly [rows: number, columns: number, depth: number];
  readonly result: string;
  readonly variant: string;
  readonly tiling?: MatrixProductTiling;
  readonly slices?: number;
  readonly workgroupBytes?: number;
  /** Largest difference from float64 in the sample, as a share of the tolerance. */
  readonly worst?: number;
  /** Seconds of one execution, each the mean of `repeat`. */
  readonly seconds: readonly number[];
  readonly clock?: "gpu" | "wall";
  readonly tflops?: number;
  readonly skipped?: string;
}

/** Options of {@linkcode sweepProduct}. */
export interface SweepOptions {
  /** Samples of each variant. Default 3. */
  readonly samples?: number;
  /** Seconds that a sample lasts at least, by repeating. Default 4 ms. */
  readonly sampleSeconds?: number;
  /** Whether time remains; asked before every round. */
  readonly more?: () => boolean;
}

/** The options of a plan, to plan it again. */
export function optionsOf(
  { form, rows, columns, depth, dtype, leftHeads, rightHeads, result }: ProductOptions,
): ProductOptions {
  return { form, rows, columns, depth, dtype, leftHeads, rightHeads, result };
}

/** Name of a variant: of its tiling, and the slices where they were asked for. */
export function variantName({ matrixTiling, slices, probe }: SweptVariant): string {
  if (probe) return probeName({ ...probe, matrixTiling: matrixTiling! });
  const tiling = matrixTiling ? productTilingName(matrixTiling) : "as planned";
  return slices === undefined ? tiling : `${tiling} in ${slices}`;
}

/** A variant that compiled. */
interface Ready {
  readonly row: SweepRow;
  readonly plan: ProductPlan;
  readonly product: Product;
  readonly seconds: number[];
  repeat: number;
  /** Whether results are compared. */
  readonly checked: boolean;
}

/**
 * Compiles all variants at once, checks each, and times those that are right in alternating rounds.
 */
export async function sweepProduct(
  gpu: Gpu,
  { name, options, variants }: SweptProduct,
  { samples = 3, sampleSeconds = 4e-3, more = () => true }: SweepOptions = {},
): Promise<SweepRow[]> {
  const { form, rows, columns, depth, result } = options;
  const base = (variant: SweptVariant): SweepRow => ({
    product: name,
    form,
    size: [rows, columns, depth],
    result: result.kind === "store" ? `store ${result.dtype}` : result.kind,
    variant: variantName(variant),
    seconds: [],
  });
  const found = await Promise.all(variants.map(async (variant): Promise<Ready | SweepRow> => {
    const row = base(variant);
    try {
      const { probe, ...given } = variant;
      const plan = changed(planProduct(gpu, { ...options, ...given }), probe);
      const { slices, workgroupBytes, partialBytes } = plan;
      const most = Math.min(gpu.capabilities.maxBindingBytes, gpu.capabilities.maxBufferBytes);
      if (partialBytes > most) {
        const { bytes, limit } = showExcess(partialBytes, most);
        return { ...row, slices, skipped: `partial sums need ${bytes}, a buffer has ${limit}` };
      }
      const product = await createProduct(gpu, plan);
      // What is wrong by design is no tiling to go on with.
      const tiling = probe ? undefined : variant.matrixTiling;
      const known = { ...row, tiling, slices, workgroupBytes };
      return { row: known, plan, product, seconds: [], repeat: 1, checked: !probe };
    } catch (error) {
      return { ...row, skipped: (error as Error).message.split("\n", 1)[0] };
    }
  }));
  const ready = found.filter((one) => "plan" in one);
  const timer = new Timer(gpu);
  let sampled: Awaited<ReturnType<typeof createSampledProduct>> | undefined;
  const done = found.flatMap((one): SweepRow[] => "plan" in one ? [] : [one]);
  try {
    const [first] = ready;
    if (!first) return done;
    sampled = await createSampledProduct(gpu, first.plan, {
      partialBytes: Math.max(...ready.map(({ plan }) => plan.partialBytes)),
      matrix: ready.some(({ plan }) => plan.kernel === "matrix"),
    });
    const right: (Ready & { worst?: number })[] = [];
    for (const one of ready) {
      if (!more()) {
        done.push({ ...one.row, skipped: "no time was left" });
        continue;
      }
      if (!one.checked) {
        right.push(one);
        continue;
      }
      const worst = await sampled.check(one.product);
      if (worst <= 1) right.push({ ...one, worst });
      else done.push({ ...one.row, worst, skipped: "differs from float64" });
    }
    const { buffers } = sampled;
    const run = async ({ product, repeat }: Ready) => {
      const timing = await timer.run([{ name, dispatches: product.bind(buffers) }], { repeat });
      return {
        seconds: timing.gpuSeconds ?? timing.wallSeconds,
        timed: timing.gpuSeconds !== null,
      };
    };
    let timed = true;
    for (let round = -1; round < samples; round++) {
      if (round > 0 && !more()) break;
      // The order turns, so that no variant always follows the same one.
      for (const [i] of right.entries()) {
        const one = right[(i + Math.max(0, round)) % right.length];
        const taken = await run(one);
        timed &&= taken.timed;
        if (round >= 0) one.seconds.push(taken.seconds);
        else one.repeat = repeats(sampleSeconds / taken.seconds);
      }
    }
    for (const { row, plan, seconds, worst } of right) {
      const clock = timed ? "gpu" as const : "wall" as const;
      done.push({ ...row, worst, seconds, clock, tflops: plan.flops / median(seconds) / 1e12 });
    }
    return done;
  } finally {
    ready.forEach(({ product }) => product.destroy());
    sampled?.destroy();
    timer.destroy();
  }
}

/** A plan with another shader. */
function changed(plan: ProductPlan, probe: SweptVariant["probe"]): ProductPlan {
  if (!probe) return plan;
  const code = probe.change(plan.pipeline.code);
  if (code === plan.pipeline.code) throw new Error(`the shader stays the same ${probe.what}`);
  return { ...plan, pipeline: { ...plan.pipeline, code } };
}

/** A number of executions from 1 to 64. */
function repeats(wanted: number): number {
  return wanted >= 1 ? Math.min(64, Math.ceil(wanted)) : 1;
}

/** Rows that were measured, the fastest first. */
export function ranked(rows: readonly SweepRow[]): SweepRow[] {
  return rows.filter(({ tflops }) => tflops !== undefined)
    .toSorted((a, b) => b.tflops! - a.tflops!);
}
