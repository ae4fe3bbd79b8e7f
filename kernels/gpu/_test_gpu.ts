/**
 * The adapter that tests run on. Without one, a test is skipped with the reason and passes, unless
 * `LIGHTHOUSE_REQUIRE_GPU=1` (set in CI) makes a missing adapter a failure.
 *
 * @module
 */
import { openDawn } from "./dawn.ts";
import { DeviceError, type Gpu, openDevice, type OpenDeviceOptions } from "./device.ts";

/** Opens the device for a test, or explains the skip and returns undefined. */
export async function testGpu(
  t: Deno.TestContext,
  options: OpenDeviceOptions = {},
): Promise<Gpu | undefined> {
  try {
    return await openDevice(options);
  } catch (error) {
    if (!(error instanceof DeviceError) || Deno.env.get("LIGHTHOUSE_REQUIRE_GPU") === "1") {
      throw error;
    }
    console.warn(`skipped: ${t.name}: ${error.message}`);
    return undefined;
  }
}

/**
 * Dawn without a device behind it: it compiles shaders and runs nothing. Explains the skip and
 * returns undefined where Dawn cannot be loaded.
 */
export async function shaderValidator(t: Deno.TestContext): Promise<Gpu | undefined> {
  try {
    return await openDevice({ stack: "dawn", gpu: await openDawn("backend=null") });
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    console.warn(`skipped: ${t.name}: ${error.message}`);
    return undefined;
  }
}
