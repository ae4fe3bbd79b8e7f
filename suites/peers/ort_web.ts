/**
 * ONNX Runtime Web's MultiHeadAttention on the same WebGPU device as the run: a peer of dense
 * attention, forward only.
 *
 * Its layout is `[N, H·d]`, so it gets its own inputs, made by the same generator. Two methods of
 * the device are wrapped while it works: `createShaderModule`, to leave out the directive
 * `enable subgroups`, which Deno's WebGPU does not accept although it has the operations (our own
 * kernels leave it out too), and `submit`, to put timestamps around its submissions.
 *
 * @module
 */
import { createTensor, readRows, type Tensor, USAGE } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { inspectTensor } from "../../kernels/gpu/inspect.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import { guard, waitFor } from "../../kernels/gpu/submit.ts";
import { requireStamps, type Timing } from "../../kernels/gpu/timing.ts";
import type { Problem } from "../../kernels/implementation.ts";
import { maxDifference } from "../check/attention_rows.ts";
import { sha256 } from "../result/digest.ts";
import { errorLine } from "../errors.ts";
import {
  type Layer,
  type Measurable,
  type RemoteTensor,
  UnavailableError,
} from "../plan/measurable.ts";
import { onnxModel } from "./onnx_model.ts";
import { peerImplementation } from "./peer_plan.ts";

/** An open runtime. */
export interface OrtPeer {
  readonly implementation: Measurable;
  readonly versions: Record<string, string>;
  /** Note for readers of the result: why its subgroup kernels are not used. */
  readonly notes: readonly string[];
  readonly close: () => Promise<void>;
}

/** Version of the package; deno.lock does not list it, so that it is only fetched on request. */
const VERSION = "1.30.0";

/** Files that are loaded from the package, with their required SHA-256. */
const FILES = {
  "ort.webgpu.bundle.min.mjs": "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2",
  "ort-wasm-simd-threaded.asyncify.wasm":
    "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
};

/**
 * Its whole layer is one dispatch, which cannot be split: longer ones could exceed driver limits.
 */
const LONGEST_SECONDS = 5;

/** Submissions of one execution that can be timed. */
const MAX_SUBMISSIONS = 64;

/** A small layer for testing the subgroup kernels. */
const TRIAL = { heads: 2, context: 193, headDim: 64 } as const;
const TRIAL_SEED = 1;
const TRIAL_TOLERANCE = 0.01;

/**
 * Loads the runtime, and tests whether its subgroup kernels work on this device: they do not
 * for every subgroup size. If they do not, subgroups are hidden from it.
 *
 * @throws {UnavailableError} when the package is missing or does not start.
 */
export async function openOrtPeer(gpu: Gpu): Promise<OrtPeer> {
  const ort = await loadRuntime();
  const why = await whyNoSubgroups(gpu, ort);
  const subgroups = why === undefined;
  const versions = {
    "onnxruntime-web": VERSION,
    kernels: subgroups ? "with subgroups" : "without subgroups",
  };
  return {
    versions,
    notes: why === undefined ? [] : [`peer:ort-web runs without its kernels for subgroups: ${why}`],
    implementation: peerImplementation({
      name: "ort-web",
      title: `ONNX Runtime Web ${VERSION}, MultiHeadAttention`,
      computes: "dense",
      directions: ["forward"],
      longestSeconds: LONGEST_SECONDS,
      prepare: (problem, seed) => prepare(gpu, problem, { ort, seed, subgroups }),
    }),
    close: () => Promise.resolve(),
  };
}

/** Why a small layer differs with and without subgroups; undefined if it does not. */
async function whyNoSubgroups(gpu: Gpu, ort: Runtime): Promise<string | undefined> {
  if (!gpu.capabilities.subgroups) return "the device has none";
  const dtype = gpu.capabilities.f16 ? "f16" : "f32";
  const outputs: Float32Array[] = [];
  for (const subgroups of [true, false]) {
    const options = { ort, seed: TRIAL_SEED, subgroups };
    try {
      const layer = await prepare(gpu, { shape: { ...TRIAL, dtype } }, options);
      const { output } = layer.outputs;
      const range = { head: 1, first: 0, count: TRIAL.context };
      outputs.push(await (output as RemoteTensor).readRows(range));
      await layer.destroy();
    } catch (error) {
      if (!subgroups) throw new UnavailableError(errorLine(error), { cause: error });
      return `a small layer failed: ${errorLine(error)}`;
    }
  }
  const difference = maxDifference(outputs[0], outputs[1]);
  return difference <= TRIAL_TOLERANCE
    ? undefined
    : `a small layer is off by ${difference.toPrecision(2)} with them`;
}

/** The parts of the package that are used. */
interface Runtime {
  readonly env: { readonly wasm: Record<string, unknown>; logLevel?: string };
  readonly InferenceSession: {
    readonly create: (model: Uint8Array, options: unknown) => Promise<OrtSession>;
  };
  readonly Tensor: {
    readonly fromGpuBuffer: (
      buffer: GPUBuffer,
      options: { dataType: "float16" | "float32"; dims: readonly number[] },
    ) => unknown;
  };
}

interface OrtSession {
  readonly run: (feeds: unknown, fetches: unknown) => Promise<unknown>;
  readonly release: () => Promise<void>;
}

let loaded: Promise<Runtime> | undefined;

function loadRuntime(): Promise<Runtime> {
  return loaded ??= load().catch((error) => {
    loaded = undefined;
    throw new UnavailableError(`onnxruntime-web: ${errorLine(error)}`, {
      cause: error,
    });
  });
}

async function load(): Promise<Runtime> {
  const found = await findPackage();
  for (const [file, want] of Object.entries(FILES)) {
    const have = await sha256(await Deno.readFile(new URL(file, found)));
    if (have !== want) throw new Error(`${file} of ${found} has SHA-256 ${have}, not ${want}`);
  }
  const [script, binary] = Object.keys(FILES);
  const runtime = await import(new URL(script, found).href) as Runtime;
  runtime.env.wasm.numThreads = 1;
  runtime.env.wasm.wasmBinary = (await Deno.readFile(new URL(binary, found))).buffer;
  runtime.env.logLevel = "error";
  return runtime;
}

/** Where the package is: in node_modules of the project, else in Deno's package cache. */
async function findPackage(): Promise<URL> {
  const cache = import.meta.resolve("zod").replace(/zod\/[^/]+\/.*$/, "");
  const places = [
    new URL("../../node_modules/onnxruntime-web/dist/", import.meta.url),
    new URL(`onnxruntime-web/${VERSION}/dist/`, cache),
  ];
  for (const place of places) {
    try {
      await Deno.stat(new URL(Object.keys(FILES)[0], place));
      return place;
    } catch {
      // It may be in the next place.
    }
  }
  throw new Error(
    `it is not here; fetch it with deno cache --no-lock npm:onnxruntime-web@${VERSION}`,
  );
}

async function prepare(
  gpu: Gpu,
  problem: Problem,
  { ort, seed, subgroups }: { ort: Runtime; seed: number; subgroups: boolean },
): Promise<Layer> {
  const { heads, context: rows, headDim, dtype } = problem.shape;
  const owned: { destroy: () => void }[] = [];
  let session: OrtSession | undefined;
  const destroy = async () => {
    await session?.release();
    owned.splice(0).forEach((thing) => thing.destroy());
  };
  const allocate = async (label: string) => {
    const shape = { heads: 1, rows, dim: heads * headDim, dtype };
    const tensor = await createTensor(gpu, shape, { label });
    owned.push(tensor);
    return tensor;
  };
  try {
    const names = ["query", "key", "value"];
    const dims = [1, rows, heads * headDim];
    const bind = ({ blocks: [{ data }] }: Tensor) =>
      ort.Tensor.fromGpuBuffer(data.buffer, {
        dataType: dtype === "f16" ? "float16" : "float32",
        dims,
      });
    const feeds: Record<string, unknown> = {};
    for (const [i, name] of names.entries()) {
      const tensor = await allocate(name);
      // One head of H·d columns: the generator counts [rows, heads, dim], so the values equal ours.
      await fillSeeded(gpu, tensor, (seed + i) >>> 0);
      feeds[name] = bind(tensor);
    }
    const output = await allocate("output");
    const fetches = { output: bind(output) };
    const model = onnxModel({
      operator: "MultiHeadAttention",
      domain: "com.microsoft",
      dtype,
      inputs: names.map((name) => [name, dims]),
      outputs: [["output", dims]],
      attributes: { num_heads: heads, unidirectional: 1 },
    });
    const { device } = gpu;
    if (!subgroups) {
      const value = new Set([...device.features].filter((name) => name !== "subgroups"));
      Object.defineProperty(device, "features", { value, configurable: true });
    }
    try {
      session = await ort.InferenceSession.create(model, {
        executionProviders: [{
          name: "webgpu",
          device,
          // Exact sizes, not the next larger bucket: only the memory of one layer is available.
          storageBufferCacheMode: "simple",
        }],
        logSeverityLevel: 3,
      });
    } finally {
      Reflect.deleteProperty(device, "features");
    }
    const clock = createClock(gpu);
    owned.push(clock);
    const run = session.run.bind(session);
    const execute = () => clock.time(() => run(feeds, fetches));
    // Shaders are created here and not in the first sample.
    await execute();
    return {
      stages: ["forward"],
      execute,
      outputs: { output: splitHeads(gpu, output, { heads, headDim }) },
      // Its kernel keeps the running output in the storage type.
      peer: { halfSums: dtype === "f16" },
      destroy,
    };
  } catch (error) {
    await destroy();
    throw error;
  }
}

/** A tensor `[1, N, H·d]` as `[H, N, d]`. */
function splitHeads(
  gpu: Gpu,
  tensor: Tensor,
  { heads, headDim: dim }: { heads: number; headDim: number },
): RemoteTensor {
  const { rows, dtype, label } = tensor;
  return {
    heads,
    rows,
    dim,
    dtype,
    label,
    readRows: async ({ head, first, count }) => {
      const all = await readRows(gpu, tensor, { head: 0, first, count });
      const own = new Float32Array(count * dim);
      for (let row = 0; row < count; row++) {
        const at = (row * heads + head) * dim;
        own.set(all.subarray(at, at + dim), row * dim);
      }
      return own;
    },
    inspect: () => inspectTensor(gpu, tensor),
  };
}

/** Runs external code that submits work to the device, and times each of its submissions. */
function createClock(gpu: Gpu) {
  const { device } = gpu;
  const { queue } = device;
  const count = 2 * MAX_SUBMISSIONS;
  const queries = gpu.capabilities.timestamps
    ? device.createQuerySet({ type: "timestamp", count })
    : undefined;
  const resolved = device.createBuffer({
    size: count * 8,
    usage: USAGE.queryResolve | USAGE.copySrc,
  });
  const staging = device.createBuffer({ size: count * 8, usage: USAGE.mapRead | USAGE.copyDst });
  const stamp = (writes: Omit<GPUComputePassTimestampWrites, "querySet">) => {
    const encoder = device.createCommandEncoder({ label: "timestamps" });
    encoder.beginComputePass({ timestampWrites: { querySet: queries!, ...writes } }).end();
    return encoder.finish();
  };
  const submit = queue.submit.bind(queue);
  const createShaderModule = device.createShaderModule.bind(device);
  return {
    time: async (work: () => Promise<unknown>): Promise<Timing> => {
      const action = "run ONNX Runtime";
      let submissions = 0;
      const taken: Promise<void>[] = [];
      queue.submit = (buffers: Iterable<GPUCommandBuffer>) => {
        const i = 2 * submissions++;
        const timed = queries && submissions <= MAX_SUBMISSIONS;
        const { settled } = guard(gpu, action, () =>
          submit(
            timed
              ? [
                stamp({ beginningOfPassWriteIndex: i }),
                ...buffers,
                stamp({ endOfPassWriteIndex: i + 1 }),
              ]
              : [...buffers],
          ));
        taken.push(settled);
      };
      if (gpu.stack === "deno") {
        device.createShaderModule = (descriptor) =>
          createShaderModule({
            ...descriptor,
            code: descriptor.code.replace(/^\s*enable subgroups;/m, ""),
          });
      }
      const started = performance.now();
      try {
        await work();
        await queue.onSubmittedWorkDone();
      } finally {
        // The prototype's methods are in effect again.
        Reflect.deleteProperty(queue, "submit");
        Reflect.deleteProperty(device, "createShaderModule");
      }
      const wallSeconds = (performance.now() - started) / 1e3;
      await Promise.all(taken);
      if (!queries || submissions === 0 || submissions > MAX_SUBMISSIONS) {
        return { gpuSeconds: null, wallSeconds, stages: null };
      }
      const bytes = submissions * 16;
      const encoder = device.createCommandEncoder({ label: "timestamps" });
      encoder.resolveQuerySet(queries, 0, 2 * submissions, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
      await guard(gpu, action, () => submit([encoder.finish()])).settled;
      await waitFor(gpu, staging.mapAsync(1, 0, bytes), action);
      const stamps = new BigUint64Array(staging.getMappedRange(0, bytes).slice(0));
      staging.unmap();
      requireStamps(stamps, action);
      let gpuSeconds = 0;
      for (let i = 0; i < stamps.length; i += 2) {
        gpuSeconds += Number(stamps[i + 1] - stamps[i]) / 1e9;
      }
      return { gpuSeconds, wallSeconds, stages: [gpuSeconds] };
    },
    destroy: () => {
      queries?.destroy();
      resolved.destroy();
      staging.destroy();
    },
  };
}
