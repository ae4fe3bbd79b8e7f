/**
 * Digests of bytes and text, and of values independent of the order of their keys.
 *
 * @module
 */

/** SHA-256 of a JSON value, with the keys of every object in alphabetical order. */
export function hashJson(value: unknown): Promise<string> {
  return sha256(
    JSON.stringify(
      value,
      (_key, inner) =>
        inner !== null && typeof inner === "object" && !Array.isArray(inner)
          ? Object.fromEntries(
            Object.entries(inner).sort(([a], [b]) => a < b ? -1 : 1),
          )
          : inner,
    ),
  );
}

/** SHA-256 of a text in UTF-8 or of bytes, in hexadecimal. */
export async function sha256(data: string | BufferSource): Promise<string> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
