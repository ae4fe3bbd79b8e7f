/**
 * Devices with matrix units for tests: real ones, or any adapter that emulates them.
 *
 * @module
 */
import { DESK } from "../../gpu/_desk_device.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { USAGE } from "../../gpu/buffers.ts";
import { openDawn } from "../../gpu/dawn.ts";
import { type Capabilities, DeviceError, type Gpu, openDevice } from "../../gpu/device.ts";
import { emulateMatrices } from "./_matrix_emulation.ts";
import { whyNoMatrixUnits } from "./dense_matrix.ts";

/** A desktop GPU with matrix units. */
export const MATRIX_UNITS: Capabilities = {
  ...DESK.capabilities,
  subgroupMatrix: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
  subgroupsDirective: "enable subgroups;",
};

/** A device with matrix units, or the reason why the test is skipped. */
export async function matrixGpu(): Promise<Gpu | undefined> {
  let gpu: Gpu;
  try {
    gpu = await openDevice({ stack: "dawn", gpu: await openDawn() });
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    console.warn(`skipped: ${error.message}`);
    return undefined;
  }
  // While Dawn compiles on its own thread, `deno test` may spin for minutes instead of waiting.
  const { device } = gpu;
  device.createComputePipelineAsync = (descriptor) =>
    Promise.resolve(device.createComputePipeline(descriptor));
  const missing = whyNoMatrixUnits(gpu.capabilities);
  if (missing === undefined) return gpu;
  console.warn(`skipped: ${missing}`);
  gpu.destroy();
  return undefined;
}

/** Any device; its uniform buffers can be bound the way emulated kernels expect. */
export async function emulatingGpu(t: Deno.TestContext): Promise<Gpu | undefined> {
  const gpu = await testGpu(t);
  if (!gpu) return undefined;
  const { device } = gpu;
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) =>
    create(
      descriptor.usage & USAGE.uniform
        ? { ...descriptor, usage: descriptor.usage | USAGE.storage }
        : descriptor,
    );
  return gpu;
}

/**
 * Sums of an emulated product as tensor cores form them: 16 products and the sum so far are aligned
 * with the largest of them and cut off below its last place.
 */
const CUT_SUMS = `
      var total = results[sum];
      var most = abs(total);
      for (var k = 0u; k < sixteen; k += 2u) {
        terms[k] = lefts[left * 16u + k] * rightAt(entry, mine, k);
        terms[k + 1u] = lefts[left * 16u + k + 1u] * rightAt(entry, mine, k + 1u);
        most = max(most, max(abs(terms[k]), abs(terms[k + 1u])));
      }
      let lastPlace = bitcast<f32>((max(bitcast<u32>(most) >> 23u, 24u) - 23u) << 23u);
      total = trunc(total / lastPlace);
      for (var k = 0u; k < sixteen; k += 2u) {
        total += trunc(terms[k] / lastPlace);
        total += trunc(terms[k + 1u] / lastPlace);
      }
      results[sum] = total * lastPlace;`;

function cutSums(code: string): string {
  const changed = code.replace(
    /var total = results\[sum\];[\s\S]*?results\[sum\] = total;/,
    CUT_SUMS,
  );
  if (changed === code) throw new Error("cut sums: the emulation sums in another way");
  return `${changed}\nvar<private> terms: array<f32, 16>;`;
}

/**
 * The same device with emulated matrix units, so that whole layers choose the kernels that they
 * would choose on real ones. Sequences must be short: a software adapter ends an invocation after
 * 65,536 loop iterations, which the emulation reaches at some 400 rows.
 *
 * @param options `cut`: sums are cut off as on tensor cores, which takes several times as long.
 * Default: f32 sums in order.
 */
export function withEmulatedMatrices(gpu: Gpu, { cut = false } = {}): Gpu {
  const { device } = gpu;
  const createModule = device.createShaderModule.bind(device);
  const createLayout = device.createBindGroupLayout.bind(device);
  // Pipelines create their module first, then the layout.
  let emulated = false;
  device.createShaderModule = (descriptor) => {
    const { code } = descriptor;
    emulated = code.includes("subgroup_matrix_result");
    if (!emulated) return createModule(descriptor);
    const threads = Number(code.match(/@workgroup_size\((\d+)\)/)?.[1]);
    const emulation = emulateMatrices(code, threads / 32);
    return createModule({ ...descriptor, code: cut ? cutSums(emulation) : emulation });
  };
  device.createBindGroupLayout = (descriptor) => {
    const entries = [...descriptor.entries].map((entry) =>
      emulated && entry.buffer?.type === "uniform"
        ? { ...entry, buffer: { type: "read-only-storage" as const } }
        : entry
    );
    return createLayout({ ...descriptor, entries });
  };
  const { subgroupMatrix, subgroupMinSize, subgroupMaxSize } = MATRIX_UNITS;
  const emulatedUnits = { subgroupMatrix, subgroupMinSize, subgroupMaxSize };
  // Kernels that are not emulated would take the adapter's own subgroups for as large.
  const capabilities = { ...gpu.capabilities, ...emulatedUnits, subgroups: false };
  return { ...gpu, capabilities };
}
