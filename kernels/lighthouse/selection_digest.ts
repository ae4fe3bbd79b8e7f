/**
 * The digest of a selection, for comparing the results of different devices.
 *
 * @module
 */
import { show } from "../gpu/require.ts";

/**
 * SHA-256, in hexadecimal, of the little-endian int32 pyramid indices `[heads, S]`: the selection's
 * digest in result files and golden vectors.
 *
 * @throws {TypeError} when the selection is not an Int32Array.
 *
 * @example
 * ```ts
 * import { digestSelection } from "./selection_digest.ts";
 * import assert from "node:assert/strict";
 * const digest = await digestSelection(Int32Array.of(0, 1, 2048));
 * assert.equal(digest.slice(0, 16), "705c6ee6f9d94e09");
 * ```
 */
export async function digestSelection(selection: Int32Array): Promise<string> {
  if (!(selection instanceof Int32Array)) {
    throw new TypeError(`digest selection: ${show(selection)} is not an Int32Array`);
  }
  const bytes = new DataView(new ArrayBuffer(selection.length * 4));
  selection.forEach((entry, i) => bytes.setInt32(4 * i, entry, true));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
