/**
 * Dawn through the npm package `webgpu`: loaded on demand, because it is a native add-on.
 *
 * @module
 */
import manifest from "../../deno.json" with { type: "json" };
import { paceDawnPolling } from "./dawn_polling.ts";
import { DeviceError } from "./device.ts";
import { within } from "./within.ts";

/**
 * The package. The `import` below does not name it literally: Deno would then fetch its 130 MB when
 * the program starts, even if it is never used.
 */
const PACKAGE = manifest.imports.webgpu;

/** Maximum wait for the package, seconds: its first use on a machine downloads it. */
const LOAD_SECONDS = 60;

/**
 * Toggles: unsafe APIs include the subgroup matrices; Dawn offers f16 on NVIDIA's Vulkan only when
 * it is enabled; robustness checks and zero-filled workgroup memory cost time and are unnecessary,
 * since the kernels check bounds themselves; a benchmark needs unquantised timestamps.
 */
const TOGGLES = [
  "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,disable_robustness,disable_workgroup_init",
  "disable-dawn-features=timestamp_quantization",
];

/**
 * Dawn's objects do not keep their instance alive: once it is collected, using a device crashes.
 */
const instances: GPU[] = [];

/**
 * Creates Dawn's `GPU` object. It lives as long as the process.
 *
 * @param extra further Dawn options, for example `backend=null` to validate shaders without a GPU.
 * @throws {DeviceError} one line, when the package or its native library cannot be loaded
 * within a minute.
 */
export function openDawn(...extra: string[]): Promise<GPU> {
  return createDawn({ flags: extra, load: () => import(PACKAGE), seconds: LOAD_SECONDS });
}

/** {@linkcode openDawn} with another way to import the package, for tests. */
export async function createDawn(
  { flags, load, seconds }: {
    flags: readonly string[];
    load: () => Promise<{ create: (flags: string[]) => unknown }>;
    seconds: number;
  },
): Promise<GPU> {
  try {
    const { create } = await within(load(), { seconds, doing: "loading it" });
    paceDawnPolling();
    const gpu = create([...TOGGLES, ...flags]) as GPU;
    instances.push(gpu);
    return gpu;
  } catch (error) {
    throw new DeviceError("no-webgpu", `Dawn's add-on could not be loaded (${explain(error)})`, {
      cause: error,
    });
  }
}

/** One line for the user, without local folder names. */
function explain(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).split("\n", 1)[0].trim();
  if (/^Requires ffi access/.test(text)) return "Deno was given no ffi permission for it";
  if (/^Failed caching npm package/.test(text)) {
    return "it is not in Deno's cache and could not be downloaded";
  }
  // Shortens absolute paths to the file name.
  return text.replace(/(?:[A-Za-z]:)?(?:[\\/][^\\/\s:'"]+)*[\\/](?=[^\\/\s:'"]+\.\w)/g, "");
}
