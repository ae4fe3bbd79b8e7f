/**
 * Compute pipelines with explicit layouts, compiled once per device and source.
 *
 * @module
 */
import { type Gpu, requireDevice } from "./device.ts";
import { requireRecord, show } from "./require.ts";
import { guard, MemoryError } from "./submit.ts";

/** How a shader uses the binding at the same index. */
export type BindingKind = "read" | "read-write" | "uniform";

/** The source of a pipeline. Two equal records give the same pipeline. */
export interface PipelineSource {
  /** Names the shader in error messages. */
  readonly label: string;
  /** WGSL. */
  readonly code: string;
  /** Default `main`. */
  readonly entryPoint?: string;
  /** Bindings of group 0, in order. Layouts are explicit: `auto` drops unused bindings. */
  readonly bindings: readonly BindingKind[];
  /** Values of `override` declarations. */
  readonly constants?: Readonly<Record<string, number>>;
  /**
   * Runs instead if a buffer is bound twice, at least once for writing, which WebGPU forbids: the
   * same shader with read-only bindings. Compiled on demand.
   */
  readonly shared?: PipelineSource;
}

/** A compiled pipeline and the layout of its group 0. */
export interface Pipeline {
  /** What it was compiled from. */
  readonly source: PipelineSource;
  /** The compiled pipeline. */
  readonly pipeline: GPUComputePipeline;
  /** The layout of group 0. */
  readonly layout: GPUBindGroupLayout;
  /** Compiles {@linkcode PipelineSource.shared}, once. */
  readonly shared?: () => Pipeline;
}

/** A shader that did not compile, with the line, column and source text of the first error. */
export class ShaderError extends Error {
  /** Identifies this error by name. */
  override readonly name = "ShaderError";
}

const compiling = new WeakMap<GPUDevice, { running: number; since: number; seconds: number }>();

/**
 * Seconds so far during which at least one pipeline of a device was being compiled: the extra time
 * of a layer's first run.
 */
export function compileSeconds(gpu: Pick<Gpu, "device">): number {
  const state = compiling.get(gpu.device);
  if (!state) return 0;
  return state.seconds + (state.running > 0 ? performance.now() / 1e3 - state.since : 0);
}

/** Counts the time until a compilation ends. */
async function counted<T>(device: GPUDevice, work: Promise<T>): Promise<T> {
  const state = compiling.get(device) ?? { running: 0, since: 0, seconds: 0 };
  compiling.set(device, state);
  if (state.running++ === 0) state.since = performance.now() / 1e3;
  try {
    return await work;
  } finally {
    if (--state.running === 0) state.seconds += performance.now() / 1e3 - state.since;
  }
}

const caches = new WeakMap<GPUDevice, Map<string, Promise<Pipeline>>>();

/**
 * Compiles a pipeline, or returns the one already compiled for this device.
 *
 * @throws {TypeError} when the source lacks code or bindings.
 * @throws {ShaderError} when the shader or the pipeline is invalid.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function createPipeline(gpu: Gpu, source: PipelineSource): Promise<Pipeline> {
  requireSource(source);
  requireDevice(gpu, `compile ${source.label}`);
  let cache = caches.get(gpu.device);
  if (!cache) caches.set(gpu.device, cache = new Map());
  const key = JSON.stringify([
    source.code,
    source.entryPoint,
    source.bindings,
    source.constants,
    source.shared,
  ]);
  let pipeline = cache.get(key);
  if (!pipeline) {
    pipeline = counted(gpu.device, compile(gpu, source));
    cache.set(key, pipeline);
    pipeline.catch(() => cache.delete(key));
  }
  return await pipeline;
}

const KINDS: readonly unknown[] = ["read", "read-write", "uniform"];

function requireSource(source: PipelineSource): void {
  requireRecord("compile", "the source", source);
  const action = `compile ${source.label}`;
  if (typeof source.code !== "string") {
    throw new TypeError(`${action}: the code is ${show(source.code)}, not text`);
  }
  if (!Array.isArray(source.bindings)) {
    throw new TypeError(`${action}: the bindings are ${show(source.bindings)}, not an array`);
  }
  for (const kind of source.bindings) {
    if (KINDS.includes(kind)) continue;
    throw new TypeError(`${action}: binding ${show(kind)} is not one of ${KINDS.join(", ")}`);
  }
}

/** A pipeline's descriptor and its parts. */
function describe(device: GPUDevice, source: PipelineSource) {
  const { label, code, bindings } = source;
  const module = device.createShaderModule({ label, code });
  const layout = device.createBindGroupLayout({
    label,
    entries: bindings.map((kind, binding) => ({
      binding,
      visibility: GPU_COMPUTE,
      buffer: {
        type: kind === "uniform" ? "uniform" : kind === "read" ? "read-only-storage" : "storage",
      },
    })),
  });
  const descriptor = {
    label,
    layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
    compute: {
      module,
      entryPoint: source.entryPoint ?? "main",
      constants: source.constants as Record<string, number> | undefined,
    },
  };
  return { module, layout, descriptor };
}

/**
 * Returns a function that compiles a source on its first call, synchronously: binding cannot wait.
 */
function compileShared(gpu: Gpu, source: PipelineSource | undefined) {
  if (!source) return undefined;
  let made: Pipeline | undefined;
  return () => {
    // If the device refuses the pipeline, it also refuses the work that uses it.
    made ??= guard(gpu, `compile ${source.label}`, () => {
      const { layout, descriptor } = describe(gpu.device, source);
      return { source, layout, pipeline: gpu.device.createComputePipeline(descriptor) };
    }).value;
    return made;
  };
}

async function compile(gpu: Gpu, source: PipelineSource): Promise<Pipeline> {
  const { label, code } = source;
  const { value, settled } = guard(gpu, `compile ${label}`, () => {
    const { module, layout, descriptor } = describe(gpu.device, source);
    const pipeline = gpu.device.createComputePipelineAsync(descriptor);
    pipeline.catch(() => {});
    return { info: module.getCompilationInfo(), layout, pipeline };
  });
  const info = await value.info;
  const first = info.messages.find((message) => message.type === "error");
  if (first) {
    const line = code.split("\n")[first.lineNum - 1] ?? "";
    throw new ShaderError(
      `compile ${label}: line ${first.lineNum}:${first.linePos}: ${first.message.trim()}\n  ${line.trim()}`,
    );
  }
  try {
    await settled;
    const pipeline = await value.pipeline;
    return { source, pipeline, layout: value.layout, shared: compileShared(gpu, source.shared) };
  } catch (error) {
    requireDevice(gpu, `compile ${label}`);
    if (error instanceof MemoryError) throw error;
    const text = error instanceof Error ? error.message : `${error}`;
    const named = text.startsWith(`compile ${label}: `) ? text : `compile ${label}: ${text}`;
    throw new ShaderError(named, { cause: error });
  }
}

// Values of the WebGPU flag constants. Browsers and Deno define them globally, Node's Dawn does
// not.
const GPU_COMPUTE = 4;
