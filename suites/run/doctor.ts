/**
 * What this machine can run, and what is missing: for each WebGPU stack its adapter, features,
 * limits, clock and the largest contexts that fit.
 *
 * @module
 */
import type { Capabilities, Gpu, Stack } from "../../kernels/gpu/device.ts";
import { openDevice } from "../../kernels/gpu/open_device.ts";
import type { Problem } from "../../kernels/implementation.ts";
import { describeEnvironment } from "../device/environment.ts";
import { errorLine, UsageError } from "../errors.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import type { Measurable } from "../plan/measurable.ts";
import { loadProfile, resolveRule } from "../plan/profile.ts";
import type { EnvironmentRecord, TuningRecord } from "../result/result_schema.ts";
import { applyTuning } from "../device/tuning_file.ts";
import { judge } from "../correctness/check_line.ts";
import { runLayer, withLayer } from "../correctness/layer_run.ts";
import { denseAttentionReference } from "../../kernels/dense_attention/dense_attention_reference.ts";

/** Longest context that is planned. */
export const LONGEST_CONTEXT = 2 ** 20;

/** What a stack offers on this machine. */
export interface StackDiagnosis {
  /** The stack that was tried. */
  readonly stack: Stack;
  /** Why it cannot be used; then all other fields are absent. */
  readonly problem?: string;
  /** The machine, as in a result file. */
  readonly environment?: EnvironmentRecord;
  /** What kernels may use there. */
  readonly capabilities?: Capabilities;
  /** Seconds of a tiny layer by GPU timestamps; null if they do not work. */
  readonly gpuSeconds?: number | null;
  /** Whether the tiny layer matched float64. */
  readonly correct?: boolean;
  /** The profile that a run would use. */
  readonly profile?: string;
  /** The storage type that a run would use. */
  readonly dtype?: "f16" | "f32";
  /** Measured tilings that a run would use, and notes on them, one line each. */
  readonly tuning?: { readonly record?: TuningRecord; readonly lines: readonly string[] };
  /** Largest context that fits, by implementation, at the paper's 8 heads of 128. */
  readonly largest?: readonly {
    readonly implementation: string;
    /** Null: even the smallest does not fit. */
    readonly context: number | null;
    readonly bytes: number;
    /** Why the next larger one does not fit; undefined at {@linkcode LONGEST_CONTEXT}. */
    readonly limit?: string;
  }[];
}

/** Opens a stack, runs a tiny layer on it and plans the largest contexts. Never throws. */
export async function diagnoseStack(
  stack: Stack,
  options: { registry?: readonly Measurable[]; gpu?: Gpu; tuning?: string } = {},
): Promise<StackDiagnosis> {
  let gpu: Gpu | undefined;
  try {
    gpu = options.gpu ?? await openDevice({ stack });
    const environment = await describeEnvironment(gpu);
    const { capabilities } = gpu;
    const tuning = await findTuning(gpu, { ...options, driver: environment.driver });
    const tiny = await runTiny(gpu);
    const memory = environment.deviceMemoryBytes;
    const registry = options.registry ?? IMPLEMENTATIONS;
    const opened = gpu;
    return {
      stack,
      environment,
      capabilities,
      ...tiny,
      profile: environment.adapter.software ? "smoke" : "standard",
      dtype: capabilities.f16 ? "f16" : "f32",
      tuning,
      largest: registry.map((entry) => largestContext(opened, { entry, memory })),
    };
  } catch (error) {
    return { stack, problem: errorLine(error) };
  } finally {
    if (!options.gpu) gpu?.destroy();
  }
}

/** What a run would use; a file for another stack is not a problem of this one. */
async function findTuning(
  gpu: Gpu,
  options: { tuning?: string; driver: string | null },
): Promise<StackDiagnosis["tuning"]> {
  try {
    const { record, lines } = await applyTuning(gpu, options);
    return { record, lines };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { lines: [error.message] };
  }
}

/** Runs a layer small enough for any device: is its output right, and does the GPU's clock work? */
async function runTiny(gpu: Gpu): Promise<{ correct: boolean; gpuSeconds: number | null }> {
  const [implementation] = IMPLEMENTATIONS;
  const headDim = 64;
  const shape = { heads: 1, context: 300, headDim, dtype: "f32" as const };
  const options = { problem: { shape }, source: { seed: 7 } };
  const run = await runLayer(gpu, implementation, options);
  const want = denseAttentionReference({ ...run.inputs, headDim }, { dtype: "f32" });
  const { status } = judge("", [{ ...want, got: run.output, want: want.output }]);
  const timing = await withLayer(gpu, implementation, {
    ...options,
    use: async ({ execute }) => {
      await execute();
      return await execute();
    },
  });
  return { correct: status === "passed", gpuSeconds: timing.gpuSeconds || null };
}

function largestContext(
  gpu: Gpu,
  { entry, memory }: { entry: Measurable; memory: number | null },
): NonNullable<StackDiagnosis["largest"]>[number] {
  const paper = loadProfile("paper");
  const available = memory === null ? Infinity : memory * 0.9;
  const fitting = { context: null as number | null, bytes: 0 };
  let limit: string | undefined;
  for (let context = 1024; context <= LONGEST_CONTEXT; context *= 2) {
    const problem: Problem = {
      shape: {
        heads: paper.heads[0],
        context,
        headDim: paper.headDims[0],
        dtype: gpu.capabilities.f16 ? "f16" : "f32",
      },
      ...(entry.options.length > 0 && {
        options: Object.fromEntries(entry.options.map((option) => {
          const [value] = paper.options[option.name] ?? [option.initial];
          return [option.name, resolveRule(value, context, option)];
        })),
      }),
    };
    try {
      const { peakBytes } = entry.plan(gpu, problem);
      if (peakBytes > available) {
        limit = "memory";
        break;
      }
      fitting.context = context;
      fitting.bytes = peakBytes;
    } catch (error) {
      // Short contexts may have too few windows for the pyramid; a failing longer one ends the
      // search.
      limit = errorLine(error);
      if (fitting.context !== null) break;
      continue;
    }
    limit = undefined;
  }
  return { implementation: entry.name, ...fitting, limit };
}

/** Lines for a terminal. */
export function describeDiagnosis(
  diagnosis: StackDiagnosis,
  format: { bytes: (bytes: number) => string; seconds: (seconds: number) => string },
): string[] {
  const { stack, problem, environment, capabilities } = diagnosis;
  if (!environment || !capabilities) {
    return [
      `stack ${stack}: cannot be used: ${problem}`,
      ...stack === "dawn"
        ? ["  only needed for matrix units; the deno stack runs everything without it"]
        : [],
    ];
  }
  const { adapter, driver, deviceMemoryBytes } = environment;
  const yes = (value: boolean) => value ? "yes" : "no";
  const subgroups = capabilities.subgroups
    ? `yes (${capabilities.subgroupMinSize} to ${capabilities.subgroupMaxSize} lanes)`
    : "no";
  const matrices = capabilities.subgroupMatrix.map((
    { componentType, resultComponentType, M, N, K },
  ) => `${M}×${N}×${K} ${componentType}→${resultComponentType}`);
  const kind = adapter.software ? "software adapter, computes on the processor" : "GPU";
  const limits = [
    `bindings to ${format.bytes(capabilities.maxBindingBytes)}`,
    `buffers to ${format.bytes(capabilities.maxBufferBytes)}`,
    `workgroup memory ${format.bytes(capabilities.maxWorkgroupBytes)}`,
    `${capabilities.maxInvocations} invocations`,
  ];
  const memory = deviceMemoryBytes === null ? "unknown" : format.bytes(deviceMemoryBytes);
  const clock = diagnosis.gpuSeconds === null || diagnosis.gpuSeconds === undefined
    ? "no GPU timestamps: times will be wall clock"
    : `GPU timestamps work (a tiny layer took ${format.seconds(diagnosis.gpuSeconds)})`;
  const tuning = diagnosis.tuning?.lines.length
    ? diagnosis.tuning.lines
    : ["the kernels' own tilings; `deno task tune` measures which are the fastest"];
  return [
    `stack ${stack}: ${adapter.description || adapter.device || adapter.vendor}`,
    `  kind       ${kind}`,
    `  driver     ${driver ?? "unknown"}`,
    `  memory     ${memory}`,
    `  features   f16 ${yes(capabilities.f16)}, subgroups ${subgroups}, matrix units ${
      matrices.join(", ") || "no"
    }`,
    `  limits     ${limits.join(", ")}`,
    `  clock      ${clock}`,
    `  kernels    ${
      diagnosis.correct
        ? "a tiny layer matches float64"
        : "WRONG: a tiny layer does not match float64"
    }`,
    `  bench      profile ${diagnosis.profile}, ${diagnosis.dtype}`,
    ...tuning.map((line) => `  tuning     ${line.replace(/^tuning:? /, "")}`),
    ...(diagnosis.largest ?? []).map(({ implementation, context, bytes, limit }) =>
      `  fits       ${implementation}: ${
        context === null
          ? `nothing (${limit})`
          : `N = ${context.toLocaleString("en")} takes ${format.bytes(bytes)}` +
            (limit ? `, twice that does not fit: ${limit}` : "; longer was not tried")
      }`
    ),
  ];
}
