/**
 * Opening a device on any stack that Deno can have.
 *
 * @module
 */
import { openDawn } from "./dawn.ts";
import { type Gpu, openDevice as openOwnDevice, type OpenDeviceOptions } from "./device.ts";

/**
 * Opens a device with every optional feature that the kernels know how to use; for the stack `dawn`
 * it loads the npm package `webgpu`.
 *
 * @throws {DeviceError} without WebGPU, without an adapter, or when a required feature is missing.
 *
 * @example
 * ```ts
 * import { openDevice } from "./open_device.ts";
 * import { DeviceError } from "./device.ts";
 * try {
 *   const gpu = await openDevice();
 *   console.log(gpu.stack, gpu.adapter.description, gpu.capabilities.f16);
 *   gpu.destroy();
 * } catch (error) {
 *   if (!(error instanceof DeviceError)) throw error; // no adapter on this machine
 * }
 * ```
 */
export async function openDevice(options: OpenDeviceOptions = {}): Promise<Gpu> {
  const gpu = options.gpu ?? (options.stack === "dawn" ? await openDawn() : undefined);
  return await openOwnDevice({ ...options, gpu });
}
