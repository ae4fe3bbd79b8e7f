/**
 * Reports whether WebGPU finds an adapter, from a separate thread.
 *
 * @module
 */
/// <reference lib="deno.worker" />

let found = false;
try {
  found = await navigator.gpu.requestAdapter() !== null;
} catch {
  // No WebGPU at all.
}
self.postMessage(found);
