/**
 * Times the matrix products of a training step with many tilings on this machine's GPU, on Dawn, and
 * says which is fastest. Every product is checked against a float64 sample first.
 *
 *     deno run -A tools/measure_products.ts products.json [--seconds 90] [--tokens 98304]
 *
 * It prints Markdown tables for `kernels/training/TUNING.md` and writes all samples to the file. A
 * winner among the candidates becomes the default by its line in `product_tilings.ts`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { whyNoMatrixUnits } from "../kernels/dense_attention/matrix/dense_matrix.ts";
import type { Gpu } from "../kernels/gpu/device.ts";
import { openDevice } from "../kernels/gpu/open_device.ts";
import { Timer } from "../kernels/gpu/timing.ts";
import {
  MATRIX_PRODUCT_CANDIDATES,
  PRODUCT_PROBES,
} from "../kernels/training/matrix_product/_product_candidates.ts";
import type { ProductProbe } from "../kernels/training/matrix_product/_product_probes.ts";
import {
  optionsOf,
  ranked,
  sweepProduct,
  type SweepRow,
  type SweptVariant,
  variantName,
} from "../kernels/training/matrix_product/_product_sweep.ts";
import {
  type MatrixProductTiling,
  matrixTilingsOf,
  productTilingName,
} from "../kernels/training/matrix_product/product_tilings.ts";
import { PRODUCT_FORMS, type ProductForm } from "../kernels/training/matrix_product/types.ts";
import type { ProductOptions } from "../kernels/training/matrix_product/types.ts";
import { fillModel, paperModel } from "../kernels/training/model/model_options.ts";
import { planModelProducts } from "../kernels/training/model/model_products.ts";
import { errorLine } from "../suites/errors.ts";
import { runCommand } from "../suites/cli/errors.ts";
import { calibrate } from "../suites/device/calibrate.ts";
import { describeEnvironment } from "../suites/device/environment.ts";
import { startKeepWarm } from "../suites/device/keep_warm.ts";
import { provideRuntimeDir } from "../suites/device/runtime_dir.ts";

/** Tilings that go on to the products of a layer, of each form. */
const FINALISTS = 3;

/** Parts that the depth of a gradient of weights is cut into. */
const SLICES: readonly number[] = [1, 2, 3, 4, 6, 8, 11, 16, 32, 48];

/** Most workgroups of a product whose depth is cut: beyond, the device is busy without. */
const MOST_WORKGROUPS = 4096;

/** Layers of the paper's model, for the sum over a step. */
const LAYERS = 30;

/** The tiling that wide products of a form are planned with. */
const plannedOf = (form: ProductForm) => matrixTilingsOf(form)[0];

/** A product of a step. */
export interface StepProduct {
  readonly name: string;
  readonly options: ProductOptions;
  /** How often a step computes it. */
  readonly times: number;
}

/** Everything that is written. */
interface Measurement {
  readonly what: string;
  readonly date: string;
  readonly adapter: Gpu["adapter"];
  readonly environment: unknown;
  readonly tokens: number;
  /** TFLOP/s of a chain of products in registers. */
  readonly ceiling: number | null;
  readonly seconds: number;
  readonly rows: readonly SweepRow[];
  readonly notes: readonly string[];
}

/** The three products of Q, K and V without epilogues and layouts. */
export function mainProducts(tokens: number, { width }: { width: number }): StepProduct[] {
  const size = { NT: [tokens, 3 * width, width], NN: [tokens, width, 3 * width] } as const;
  return PRODUCT_FORMS.map((form) => {
    const [rows, columns, depth] = form === "TN" ? [3 * width, width, tokens] : size[form];
    const result = form === "NT"
      ? { kind: "store", dtype: "f16" } as const
      : form === "NN"
      ? { kind: "store", dtype: "f32" } as const
      : { kind: "accumulate" } as const;
    return {
      name: `${form} plain`,
      options: { form, rows, columns, depth, dtype: "f16", result },
      times: 0,
    };
  });
}

/** All products of a step of the paper's model, with both sizes of the vocabulary. */
export function stepProducts(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  tokens: number,
): StepProduct[] {
  const planned = (vocabulary: "bytes" | "paper") =>
    planModelProducts(gpu, fillModel(paperModel({ vocabulary, context: tokens })));
  const bytes = planned("bytes");
  const layer = Object.entries(bytes.layer).map(([name, plan]) => ({
    name,
    options: optionsOf(plan),
    times: LAYERS,
  }));
  const heads = (["bytes", "paper"] as const).flatMap((vocabulary) => {
    const { head, chunks } = vocabulary === "bytes" ? bytes : planned("paper");
    const [{ rows }] = chunks;
    return Object.entries(head.get(rows)!).map(([name, plan]) => ({
      name: `head ${name}, ${vocabulary}`,
      options: optionsOf(plan),
      // The sum over a step is that of the small head.
      times: vocabulary === "bytes" ? chunks.length : 0,
    }));
  });
  return [...layer, ...heads];
}

/** The fastest tilings of each form, best first, and the one that is planned today. */
export function finalists(
  rows: readonly SweepRow[],
  form: ProductForm,
  planned: MatrixProductTiling = plannedOf(form),
): MatrixProductTiling[] {
  const best = ranked(rows.filter((row) => row.form === form && row.tiling !== undefined))
    .slice(0, FINALISTS).map(({ tiling }) => tiling!);
  const names = best.map(productTilingName);
  return names.includes(productTilingName(planned)) ? best : [...best, planned];
}

const show = (value: number | undefined) => value === undefined ? "–" : value.toFixed(0);

/** TFLOP/s of every tiling in the three forms; the fastest of a form in bold. */
export function formTable(rows: readonly SweepRow[]): string {
  const right = rows.filter(({ tiling }) => tiling !== undefined);
  const best = PRODUCT_FORMS.map((form) => ranked(right.filter((row) => row.form === form))[0]);
  const variants = [...new Set(rows.map(({ variant }) => variant))];
  const mean = (variant: string) =>
    rows.reduce((sum, row) => row.variant === variant ? sum + (row.tflops ?? 0) : sum, 0);
  const lines = variants.toSorted((a, b) => mean(b) - mean(a)).map((variant) => {
    const cells = PRODUCT_FORMS.map((form, i) => {
      const row = rows.find((one) => one.form === form && one.variant === variant);
      return row !== undefined && row === best[i] ? `**${show(row.tflops)}**` : show(row?.tflops);
    });
    return `| ${[variant, ...cells].join(" | ")} |`;
  });
  return [`| tiling | ${PRODUCT_FORMS.join(" | ")} |`, "| --- | ---: | ---: | ---: |", ...lines]
    .join("\n");
}

/** The products of a step: as planned, and with the fastest variant. */
export function stepTable(
  products: readonly StepProduct[],
  rows: readonly SweepRow[],
  planned?: MatrixProductTiling,
): string {
  let [sumPlanned, sumBest, flops] = [0, 0, 0];
  const lines = products.map(({ name, options, times }) => {
    const own = rows.filter(({ product }) => product === name);
    const [best] = ranked(own);
    const today = own.find(({ variant }) =>
      variant === variantName({
        matrixTiling: planned ?? plannedOf(options.form),
      })
    );
    const work = 2 * options.rows * options.columns * options.depth;
    const seconds = (row: SweepRow | undefined) => row?.tflops ? work / row.tflops / 1e12 : NaN;
    if (times > 0) {
      sumPlanned += times * seconds(today);
      sumBest += times * seconds(best);
      flops += times * work;
    }
    const size = `${options.form} ${options.rows} × ${options.columns} × ${options.depth}`;
    const slices = best?.slices && best.slices > 1 ? ` in ${best.slices}` : "";
    const cells = [name, size, show(today?.tflops), show(best?.tflops)];
    return `| ${
      [...cells, best ? best.variant.replace(/ in \d+$/, "") + slices : "–"].join(" | ")
    } |`;
  });
  const total = (seconds: number) =>
    `${(seconds * 1e3).toFixed(0)} ms, ${show(flops / seconds / 1e12)} TFLOP/s`;
  return [
    "| product | rows × columns × depth | as planned | best | with |",
    "| --- | --- | ---: | ---: | --- |",
    ...lines,
    "",
    `Products of a step, small head: ${total(sumPlanned)} as planned; ${total(sumBest)} at best.`,
  ].join("\n");
}

/** What is measured. */
export interface Course {
  /** A product of each form, for all tilings. */
  readonly main: readonly StepProduct[];
  /** Products for the fastest tilings of their form. */
  readonly products: readonly StepProduct[];
  /** The declared tilings and the candidates. */
  readonly tilings: readonly MatrixProductTiling[];
  /** Changed shaders, timed in all main products but the first. Default: none. */
  readonly probes?: readonly ProductProbe[];
  /** The tiling that wide products are planned with. Default: the first of their form. */
  readonly planned?: MatrixProductTiling;
  /** Whether time remains. */
  readonly more: () => boolean;
  /** Is told each table and each line. */
  readonly say: (text: string) => void;
  /** Is told the rows of each product as soon as they are measured. */
  readonly keep?: (rows: readonly SweepRow[]) => void;
}

/** Measures everything that time allows; a product that fails costs its own rows alone. */
export async function measure(
  gpu: Gpu,
  { main, products, tilings, probes = [], planned, more, say, keep }: Course,
): Promise<SweepRow[]> {
  const rows: SweepRow[] = [];
  const sweep = async (product: StepProduct, variants: readonly SweptVariant[]) => {
    try {
      const found = await sweepProduct(gpu, { ...product, variants }, { more });
      rows.push(...found);
      keep?.(found);
    } catch (error) {
      if (gpu.lost()) throw error;
      say(`not measured: ${product.name}: ${errorLine(error)}`);
    }
  };
  for (const [i, product] of main.entries()) {
    await sweep(product, [
      ...tilings.map((one) => ({ matrixTiling: one })),
      ...i === 0 ? [] : probes.map(({ matrixTiling, ...probe }) => ({ matrixTiling, probe })),
    ]);
  }
  say(`\n${formTable(rows)}\n`);
  const chosen = new Map(PRODUCT_FORMS.map((form) => [form, finalists(rows, form, planned)]));
  for (const product of products) {
    if (!more()) {
      say(`left out, no time: ${product.name}`);
      continue;
    }
    const known = chosen.get(product.options.form)!;
    await sweep(product, [
      ...known.map((matrixTiling) => ({ matrixTiling })),
      ...slicesOf(product.options, known[0]).map((slices) => ({ matrixTiling: known[0], slices })),
    ]);
  }
  say(stepTable(products, rows, planned));
  for (const { product, variant, skipped, worst } of rows) {
    if (skipped === undefined) continue;
    const error = worst === undefined ? "" : `, ${worst.toPrecision(3)} times the tolerance`;
    say(`not timed: ${product}, ${variant}: ${skipped}${error}`);
  }
  return rows;
}

/** Numbers of slices to try. */
export function slicesOf(
  { form, rows, columns }: ProductOptions,
  tiling: MatrixProductTiling,
): number[] {
  if (form !== "TN") return [];
  const tiles = Math.ceil(rows / tiling.rows) * Math.ceil(columns / tiling.columns);
  return SLICES.filter((slices) => slices === 1 || tiles * slices <= MOST_WORKGROUPS);
}

/** Runs the command and returns its exit code. */
async function main(): Promise<number> {
  const { values, positionals: [out] } = parseArgs({
    allowPositionals: true,
    // Unknown options end in the line on usage, too.
    strict: false,
    options: { seconds: { type: "string" }, tokens: { type: "string" } },
  });
  const unknown = Object.entries(values).some(([name, value]) =>
    !["seconds", "tokens"].includes(name) || typeof value !== "string"
  );
  const [seconds, tokens] = [Number(values.seconds ?? 90), Number(values.tokens ?? 98304)];
  if (
    unknown || !out || !(seconds > 0) ||
    !(Number.isInteger(tokens) && tokens > 0 && tokens % 128 === 0)
  ) {
    console.error(
      "usage: measure_products.ts OUT.json [--seconds S] [--tokens N, a multiple of 128]",
    );
    return 2;
  }
  const started = performance.now();
  provideRuntimeDir();
  const gpu = await openDevice({ stack: "dawn" });
  const warm = await startKeepWarm(gpu.adapter);
  try {
    const missing = whyNoMatrixUnits(gpu.capabilities);
    if (missing !== undefined) {
      console.error(`measure products: ${missing}`);
      return 5;
    }
    const ceiling = await measureCeiling(gpu);
    const notes: string[] = [];
    const say = (line: string) => {
      console.log(line);
      notes.push(line);
    };
    say(
      `${gpu.adapter.description}, ${tokens} tokens; a chain of products reaches ${
        ceiling === null ? "–" : show(ceiling)
      } TFLOP/s`,
    );
    const environment = await describeEnvironment(gpu);
    const rows: SweepRow[] = [];
    const write = async () => {
      const written: Measurement = {
        what: "matrix products of a training step, TFLOP/s by tiling",
        date: new Date().toISOString(),
        adapter: gpu.adapter,
        environment,
        tokens,
        ceiling,
        seconds: (performance.now() - started) / 1e3,
        rows,
        notes: [...notes, ...warm?.record().means ?? []],
      };
      await Deno.writeTextFile(out, JSON.stringify(written, undefined, 1) + "\n");
      console.log(`Wrote ${out}, ${rows.length} rows, ${written.seconds.toFixed(1)} s`);
    };
    try {
      await measure(gpu, {
        main: mainProducts(tokens, { width: 1024 }),
        products: stepProducts(gpu, tokens),
        tilings: [
          ...new Set(PRODUCT_FORMS.map(plannedOf)),
          ...MATRIX_PRODUCT_CANDIDATES,
        ],
        probes: PRODUCT_PROBES,
        more: () => (performance.now() - started) / 1e3 < seconds,
        say,
        keep: (found) => rows.push(...found),
      });
    } finally {
      // What was measured stays, whatever ended the course.
      await write();
    }
    return rows.some(({ tflops }) => tflops !== undefined) ? 0 : 5;
  } finally {
    await warm?.stop();
    gpu.destroy();
  }
}

/** TFLOP/s of the fastest configuration of the matrix units, and a warm device. */
async function measureCeiling(gpu: Gpu): Promise<number | null> {
  const timer = new Timer(gpu);
  try {
    const { record, canary } = await calibrate(gpu, timer);
    canary.destroy();
    const rates = (record.matrix ?? []).map(({ flopsPerSecond }) => flopsPerSecond.median);
    return rates.length > 0 ? Math.max(...rates) / 1e12 : null;
  } finally {
    timer.destroy();
  }
}

if (import.meta.main) await runCommand("measure products", main);
