/**
 * Dawn through the npm package `webgpu`: loaded on demand, because it is a native add-on.
 *
 * @module
 */
import { DeviceError } from "./device.ts";

/**
 * Toggles, each for a reason: unsafe APIs hold the subgroup matrices; NVIDIA shows f16 on Vulkan
 * only when told to; robustness checks and zero-filled workgroup memory cost time that the
 * kernels' own bounds make unnecessary; unquantised timestamps are what a benchmark needs.
 */
const TOGGLES = [
  "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,disable_robustness,disable_workgroup_init",
  "disable-dawn-features=timestamp_quantization",
];

/** Dawn's objects do not keep their instance alive: once it is collected, using a device crashes. */
const instances: GPU[] = [];

/**
 * Creates Dawn's `GPU` object. It lives as long as the process.
 *
 * @param extra further Dawn options, for example `backend=null` to validate shaders without a GPU.
 * @throws {DeviceError} when the package or its native library cannot be loaded.
 */
export async function openDawn(...extra: string[]): Promise<GPU> {
  try {
    const { create } = await import("webgpu");
    const gpu = create([...TOGGLES, ...extra]) as GPU;
    instances.push(gpu);
    return gpu;
  } catch (error) {
    const text = (error instanceof Error ? error.message : String(error)).split("\n", 1)[0];
    throw new DeviceError("no-webgpu", `openDevice: the dawn stack could not be loaded: ${text}`, {
      cause: error,
    });
  }
}
