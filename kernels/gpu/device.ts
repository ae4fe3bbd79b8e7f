/**
 * Opens a WebGPU device and describes its capabilities as a plain record. Runs in Deno and in
 * browsers; `open_device.ts` adds Dawn as a package, which browsers cannot load.
 *
 * @module
 */

/**
 * The WebGPU implementation that runs the kernels: Deno's own, Dawn through the npm package
 * `webgpu`, or that of the browser.
 */
export type Stack = "deno" | "dawn" | "browser";

/** One configuration of the adapter's matrix units, as the device lists it. */
export interface SubgroupMatrixConfig {
  /** Element type of the factors. */
  readonly componentType: string;
  /** Element type of the product and of the sum. */
  readonly resultComponentType: string;
  /** Rows of the left factor. */
  readonly M: number;
  /** Columns of the right factor. */
  readonly N: number;
  /** Columns of the left factor, rows of the right one. */
  readonly K: number;
}

/** Plain description of the adapter behind a device. */
export interface AdapterRecord {
  /** Maker of the device, as reported by the stack. */
  readonly vendor: string;
  /** Family of the device; empty if the stack does not report it. */
  readonly architecture: string;
  /** Identifier of the device; empty if the stack does not report it. */
  readonly device: string;
  /** Readable name; empty if the stack does not report it. */
  readonly description: string;
  /** True if the stack itself calls the adapter a fallback. */
  readonly isFallbackAdapter: boolean;
  /** True for CPU implementations of Vulkan (llvmpipe, SwiftShader, WARP). */
  readonly software: boolean;
}

/**
 * A tiling of dense attention that was measured to be the fastest on a device. Plans use it if the
 * kernel declares it and it fits; it affects only time.
 */
export interface TunedTiling {
  /** The kernel variant: for any device, or for matrix units. */
  readonly kernel: "portable" | "matrix";
  /** The forward pass, the pass that computes dQ, or the pass that computes dK and dV. */
  readonly pass: "forward" | "query" | "key-value";
  /** d. */
  readonly headDim: number;
  /** Storage type of Q, K and V. */
  readonly dtype: "f16" | "f32";
  /** N of the measurement, a power of two. */
  readonly rows: number;
  /**
   * H of the measurement. The number of workgroups depends on `heads * rows`; a plan takes the
   * entry whose product is nearest to its own by ratio, if product and `rows` are both within a
   * factor of eight. Default: the plan's.
   */
  readonly heads?: number;
  /** Fields of the tiling by name. */
  readonly tiling: Readonly<Record<string, number>>;
}

/** What kernels may rely on. The choice of a variant depends on nothing else about the device. */
export interface Capabilities {
  /** `shader-f16` was granted: tensors may be stored in f16. */
  readonly f16: boolean;
  /** Subgroup operations were granted. */
  readonly subgroups: boolean;
  /** Smallest and largest subgroup size, 0 if the stack does not report it. */
  readonly subgroupMinSize: number;
  /** The largest, 0 if the stack does not report it. */
  readonly subgroupMaxSize: number;
  /** `timestamp-query` was granted: GPU times can be measured. */
  readonly timestamps: boolean;
  /** Configurations of the matrix units; empty without them. */
  readonly subgroupMatrix: readonly SubgroupMatrixConfig[];
  /** `enable` directives that a shader with subgroup operations needs on this stack. */
  readonly subgroupsDirective: string;
  /** Largest storage binding in bytes (a multiple of 4). */
  readonly maxBindingBytes: number;
  /** Largest buffer in bytes (a multiple of 4). */
  readonly maxBufferBytes: number;
  /** Workgroup memory, bytes. */
  readonly maxWorkgroupBytes: number;
  /** Threads of a workgroup. */
  readonly maxInvocations: number;
  /** Workgroups of a dispatch, in each dimension. */
  readonly maxWorkgroupsPerDimension: number;
  /** Storage buffers that a shader may bind. */
  readonly maxStorageBuffers: number;
  /** Alignment of the offset of a storage binding, bytes. */
  readonly storageAlignment: number;
  /** Tilings to prefer, see `withTuning`. Default: none; the kernels choose. */
  readonly tuning?: readonly TunedTiling[];
}

/** An open device. Everything in `kernels/` takes one of these. */
export interface Gpu {
  /** The WebGPU implementation behind the device. */
  readonly stack: Stack;
  /** The WebGPU device itself. */
  readonly device: GPUDevice;
  /** What it runs on. */
  readonly adapter: AdapterRecord;
  /** What kernels may rely on. */
  readonly capabilities: Capabilities;
  /** Features that were granted, sorted. */
  readonly features: readonly string[];
  /** Limits of the device by name. */
  readonly limits: Readonly<Record<string, number>>;
  /**
   * Undefined while the device works; afterwards one line that says why not, destruction included.
   */
  readonly lost: () => string | undefined;
  /**
   * Destroys the device and everything created on it. Later calls on it throw a {@linkcode
   * DeviceLostError}.
   */
  readonly destroy: () => void;
}

/** Options of {@linkcode openDevice}. */
export interface OpenDeviceOptions {
  /** Default: `deno` in Deno, `browser` elsewhere. */
  stack?: Stack;
  /** The `GPU` object to ask; default: `navigator.gpu`, or Dawn's for the `dawn` stack. */
  gpu?: GPU;
  /** Features that must be granted; an adapter without one is an error. */
  require?: readonly string[];
  /** Features not to request, for example `subgroups` to test the fallback. */
  without?: readonly string[];
}

/** No adapter, no WebGPU, or a required feature is missing. The message is one line. */
export class DeviceError extends Error {
  /** Identifies this error by name. */
  override readonly name = "DeviceError";
  /** `no-webgpu`, `no-adapter`, `feature` or `refused`. */
  readonly kind: "no-webgpu" | "no-adapter" | "feature" | "refused";
  /** Creates an error of that kind; the message is one line. */
  constructor(kind: DeviceError["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** The device was lost, by itself or because it was destroyed. The message is one line. */
export class DeviceLostError extends Error {
  /** Identifies this error by name. */
  override readonly name = "DeviceLostError";
}

/**
 * Checks that a device still works, before any work is submitted to it.
 *
 * @param action the requested action, for the error message.
 * @throws {DeviceLostError} when it was lost or destroyed.
 */
export function requireDevice(gpu: Pick<Gpu, "lost">, action: string): void {
  const lost = gpu.lost();
  if (lost !== undefined) throw new DeviceLostError(`${action}: ${lost}`);
}

const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";
const OPTIONAL_FEATURES = ["shader-f16", "timestamp-query", "subgroups", MATRIX_FEATURE];
const RAISED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageBuffersPerShaderStage",
] as const;

const STACKS: readonly Stack[] = ["deno", "dawn", "browser"];

/** Why a destroyed device does not work; Deno's stack gives no reason. */
const DESTROYED = "the device was destroyed";

const SOFTWARE = /llvmpipe|lavapipe|swiftshader|basic render|warp/i;

/**
 * Opens a device with every optional feature that the kernels can use.
 *
 * @throws {TypeError} listing the stacks, when the requested one is unknown.
 * @throws {DeviceError} without WebGPU, without an adapter, or when a required feature is missing.
 *
 * @example
 * ```ts
 * import { DeviceError, openDevice } from "./device.ts";
 * try {
 *   const gpu = await openDevice();
 *   console.log(gpu.adapter.description, gpu.capabilities.f16);
 *   gpu.destroy();
 * } catch (error) {
 *   if (!(error instanceof DeviceError)) throw error;
 * }
 * ```
 */
export async function openDevice(options: OpenDeviceOptions = {}): Promise<Gpu> {
  const stack = options.stack ?? ownStack();
  if (!STACKS.includes(stack)) {
    throw new TypeError(`openDevice: stack ${stack} is not one of ${STACKS.join(", ")}`);
  }
  const entry = options.gpu ?? entryPoint(stack);
  const adapter = await entry.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new DeviceError("no-adapter", `openDevice: the ${stack} stack found no WebGPU adapter`);
  }
  const required = options.require ?? [];
  const excluded = options.without ?? [];
  // Deno's wgpu grants `subgroups` without listing it, so the first request includes it unseen.
  const listed = (name: string) => adapter.features.has(name as GPUFeatureName);
  const trusted = stack === "deno" ? ["subgroups"] : [];
  const wanted = OPTIONAL_FEATURES.filter((name) => !excluded.includes(name) && listed(name));
  const features = new Set([...wanted, ...required]);
  const attempts = [
    new Set([...features, ...trusted.filter((name) => !excluded.includes(name))]),
    features,
  ];
  const requiredLimits: Record<string, number> = {};
  for (const name of RAISED_LIMITS) {
    const value = adapter.limits[name];
    if (typeof value === "number") requiredLimits[name] = value;
  }
  let device: GPUDevice | undefined;
  let refusal: unknown;
  for (const attempt of attempts) {
    try {
      device = await adapter.requestDevice({
        requiredFeatures: [...attempt] as GPUFeatureName[],
        requiredLimits,
      });
      break;
    } catch (error) {
      refusal = error;
    }
  }
  if (!device) {
    const missing = required.filter((name) => !listed(name));
    const text = firstLine(refusal);
    throw missing.length
      ? new DeviceError("feature", `openDevice: the adapter does not grant ${missing.join(", ")}`, {
        cause: refusal,
      })
      : new DeviceError("refused", `openDevice: the adapter refused the device: ${text}`, {
        cause: refusal,
      });
  }
  let lost: string | undefined;
  device.lost.then((info) => {
    lost ??= info.reason === "destroyed" ? DESTROYED : `device lost: ${firstLine(info.message)}`;
  });
  const opened = device;
  const record = describeAdapter(adapter);
  return {
    stack,
    device: opened,
    adapter: record,
    capabilities: readCapabilities(opened, adapter, stack),
    features: [...opened.features].sort(),
    limits: readLimits(opened),
    lost: () => lost,
    destroy: () => {
      lost ??= DESTROYED;
      opened.destroy();
    },
  };
}

/** The part of `navigator` used here; its type differs between a page and a worker. */
interface Host {
  readonly navigator?: { readonly userAgent?: string; readonly gpu?: GPU };
}

function ownStack(): Stack {
  const { userAgent = "" } = (globalThis as Host).navigator ?? {};
  return userAgent.startsWith("Deno/") ? "deno" : "browser";
}

function entryPoint(stack: Stack): GPU {
  if (stack === "dawn") {
    throw new DeviceError("no-webgpu", "openDevice: the dawn stack needs Dawn's `GPU` object");
  }
  const gpu = (globalThis as Host).navigator?.gpu;
  if (!gpu) throw new DeviceError("no-webgpu", "openDevice: this runtime has no navigator.gpu");
  return gpu;
}

/** Describes an adapter as reported by its stack. */
export function describeAdapter(adapter: GPUAdapter): AdapterRecord {
  const info = adapter.info as GPUAdapterInfo & { isFallbackAdapter?: boolean };
  const fallback = info.isFallbackAdapter === true;
  const text = [info.vendor, info.architecture, info.device, info.description].join(" ");
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    isFallbackAdapter: fallback,
    software: fallback || SOFTWARE.test(text),
  };
}

function readCapabilities(device: GPUDevice, adapter: GPUAdapter, stack: Stack): Capabilities {
  const has = (name: string) => device.features.has(name as GPUFeatureName);
  const info = adapter.info as GPUAdapterInfo & {
    subgroupMinSize?: number;
    subgroupMaxSize?: number;
    subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
  };
  const limits = device.limits;
  const round4 = (bytes: number) => Math.floor(bytes / 4) * 4;
  return {
    f16: has("shader-f16"),
    subgroups: has("subgroups"),
    subgroupMinSize: info.subgroupMinSize ?? 0,
    subgroupMaxSize: info.subgroupMaxSize ?? 0,
    timestamps: has("timestamp-query"),
    subgroupMatrix: has(MATRIX_FEATURE)
      ? [...info.subgroupMatrixConfigs ?? []].map((c) => ({
        componentType: c.componentType,
        resultComponentType: c.resultComponentType,
        M: c.M,
        N: c.N,
        K: c.K,
      }))
      : [],
    // wgpu's front end knows the operations but not the directive.
    subgroupsDirective: stack === "deno" ? "" : "enable subgroups;",
    maxBindingBytes: round4(limits.maxStorageBufferBindingSize),
    maxBufferBytes: round4(limits.maxBufferSize),
    maxWorkgroupBytes: limits.maxComputeWorkgroupStorageSize,
    maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
    storageAlignment: limits.minStorageBufferOffsetAlignment,
  };
}

function readLimits(device: GPUDevice): Record<string, number> {
  const limits: Record<string, number> = {};
  const source = device.limits as unknown as Record<string, unknown>;
  for (const name in source) {
    const value = source[name];
    if (typeof value === "number") limits[name] = value;
  }
  return limits;
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0].trim();
}
