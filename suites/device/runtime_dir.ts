/**
 * Stops the graphics driver from warning on stderr about a variable that only windows need.
 *
 * @module
 */

/**
 * Sets `XDG_RUNTIME_DIR` to the folder for temporary files if it is unset on Linux. Call it before
 * the first adapter is requested. Without permission for the variable it does nothing.
 */
export function provideRuntimeDir(): void {
  if (Deno.build.os !== "linux") return;
  try {
    if (Deno.env.get("XDG_RUNTIME_DIR")) return;
    Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
  } catch {
    // A warning is not worth a failure.
  }
}
