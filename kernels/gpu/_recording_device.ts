/**
 * A device that computes nothing and records its input: shaders, and the buffer that each shader
 * reads its uniform from. Tests without a GPU create and bind kernels on it.
 *
 * @module
 */
import { DESK } from "./_desk_device.ts";
import { USAGE } from "./buffers.ts";
import type { Capabilities, Gpu } from "./device.ts";

/** A shader that a kernel compiled. */
export interface RecordedShader {
  readonly label: string;
  readonly code: string;
  readonly entryPoint: string;
  /** File under the repository's root that requested the pipeline. */
  readonly caller: string;
  /** Uniform buffers bound to it. */
  readonly uniforms: RecordedUniform[];
}

/** A uniform buffer as a shader reads it. */
export interface RecordedUniform {
  readonly label: string;
  readonly binding: number;
  readonly words: Uint32Array;
}

interface FakeBuffer {
  readonly label: string;
  readonly size: number;
  readonly usage: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

interface FakeLayout {
  readonly entries: readonly GPUBindGroupLayoutEntry[];
  shader?: RecordedShader;
}

const ROOT = new URL("../../", import.meta.url).href;

/**
 * The file that called `createPipeline` or `createPass`; if binding compiles, the file that binds.
 */
function callerFile(): string {
  const files = (new Error().stack ?? "").split("\n").flatMap((frame) => {
    const [, name, file] = frame.match(/at (?:async )?(?:(\S+) \()?(file:\S+?\.ts):\d/) ?? [];
    return file ? [{ name, file }] : [];
  });
  const called = files.findLastIndex(({ name }) => /^create(Pipeline|Pass)$/.test(name)) + 1;
  const caller = called > 0
    ? files[called]
    : files.find(({ file }) => !file.startsWith(`${ROOT}kernels/gpu/`));
  if (!caller) throw new Error("record shader: no caller on the stack");
  return caller.file.replace(ROOT, "");
}

/**
 * Opens the device.
 *
 * @returns the device, and the shaders that were compiled on it, in order.
 */
export function openRecordingDevice(
  options: { capabilities?: Partial<Capabilities>; software?: boolean } = {},
): { gpu: Gpu; shaders: RecordedShader[] } {
  const shaders: RecordedShader[] = [];
  const createPipeline = ({ label, layout, compute }: GPUComputePipelineDescriptor) => {
    const shader = {
      ...compute.module as unknown as { label: string; code: string; caller: string },
      label: label ?? "",
      entryPoint: compute.entryPoint ?? "",
      uniforms: [],
    };
    shaders.push(shader);
    (layout as unknown as FakeLayout).shader = shader;
    return {};
  };
  const pass = {
    setPipeline: () => {},
    setBindGroup: () => {},
    dispatchWorkgroups: () => {},
    end: () => {},
  };
  const device = {
    lost: new Promise(() => {}),
    queue: {
      writeBuffer: (buffer: FakeBuffer, offset: number, data: ArrayBufferView) => {
        // Larger buffers are inputs, which nothing reads here.
        if ((buffer.usage & USAGE.uniform) === 0) return;
        const { byteOffset, byteLength } = data;
        buffer.bytes.set(
          new Uint8Array(data.buffer as ArrayBuffer, byteOffset, byteLength),
          offset,
        );
      },
      submit: () => {},
      onSubmittedWorkDone: () => Promise.resolve(),
    },
    pushErrorScope: () => {},
    popErrorScope: () => Promise.resolve(null),
    addEventListener: () => {},
    removeEventListener: () => {},
    createBuffer: ({ label = "", size, usage }: GPUBufferDescriptor) => ({
      label,
      size,
      usage,
      bytes: new Uint8Array(usage & USAGE.uniform ? size : 0),
      mapAsync: () => Promise.resolve(),
      getMappedRange: (_offset = 0, bytes = size) => new ArrayBuffer(bytes),
      unmap: () => {},
      destroy: () => {},
    }),
    createShaderModule: ({ label = "", code }: GPUShaderModuleDescriptor) => ({
      label,
      code,
      caller: callerFile(),
      getCompilationInfo: () => Promise.resolve({ messages: [] }),
    }),
    createBindGroupLayout: ({ entries }: GPUBindGroupLayoutDescriptor) => ({ entries }),
    // Kernels bind only group 0.
    createPipelineLayout: ({ bindGroupLayouts }: GPUPipelineLayoutDescriptor) =>
      [...bindGroupLayouts][0],
    createComputePipeline: createPipeline,
    createComputePipelineAsync: (descriptor: GPUComputePipelineDescriptor) =>
      Promise.resolve(createPipeline(descriptor)),
    createBindGroup: ({ layout, entries }: GPUBindGroupDescriptor) => {
      const { entries: slots, shader } = layout as unknown as FakeLayout;
      for (const { binding, resource } of entries) {
        const { type } = [...slots].find((slot) => slot.binding === binding)!.buffer!;
        if (type !== "uniform") continue;
        const { label, bytes } = (resource as GPUBufferBinding).buffer as unknown as FakeBuffer;
        shader!.uniforms.push({ label, binding, words: new Uint32Array(bytes.slice().buffer) });
      }
      return {};
    },
    createCommandEncoder: () => ({
      beginComputePass: () => pass,
      copyBufferToBuffer: () => {},
      finish: () => ({}),
    }),
    destroy: () => {},
  };
  const gpu: Gpu = {
    stack: "deno",
    device: device as unknown as GPUDevice,
    adapter: { ...DESK.adapter, software: options.software ?? false },
    capabilities: { ...DESK.capabilities, ...options.capabilities, timestamps: false },
    features: [],
    limits: {},
    lost: () => undefined,
    destroy: () => {},
  };
  return { gpu, shaders };
}
