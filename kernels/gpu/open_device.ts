/**
 * Opens a device on any stack that Deno supports.
 *
 * @module
 */
import { chooseStack } from "./choose_stack.ts";
import { openDawn } from "./dawn.ts";
import {
  type Gpu,
  openDevice as openOwnDevice,
  type OpenDeviceOptions,
  type Stack,
} from "./device.ts";

/**
 * Opens a device with every optional feature that the kernels can use.
 *
 * The stack `dawn` loads the npm package `webgpu`; `auto` uses it if it works on a real GPU, and
 * Deno's own stack otherwise.
 *
 * @throws {DeviceError} without WebGPU, without an adapter, or when a required feature is missing.
 *
 * @example
 * ```ts
 * import { openDevice } from "./open_device.ts";
 * import { DeviceError } from "./device.ts";
 * try {
 *   const gpu = await openDevice({ stack: "auto" });
 *   console.log(gpu.stack, gpu.adapter.description, gpu.capabilities.f16);
 *   gpu.destroy();
 * } catch (error) {
 *   if (!(error instanceof DeviceError)) throw error; // no adapter on this machine
 * }
 * ```
 */
export async function openDevice(
  { stack, ...options }: Omit<OpenDeviceOptions, "stack"> & { stack?: Stack | "auto" } = {},
): Promise<Gpu> {
  if (stack === "auto") return (await chooseStack(options)).gpu;
  const gpu = options.gpu ?? (stack === "dawn" ? await openDawn() : undefined);
  return await openOwnDevice({ ...options, stack, gpu });
}
