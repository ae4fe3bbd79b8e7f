/**
 * Formats memory sizes for messages.
 *
 * @module
 */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes in binary units to about three digits: `32 GiB`, `28.8 GiB`, `96 B`. */
export function showBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${value < 100 ? Number(value.toPrecision(3)) : Math.round(value)} ${UNITS[unit]}`;
}

/**
 * A size and the limit that it exceeds. If both look the same in binary units, they are exact:
 * `2,147,483,648 bytes` and `2,147,483,644 bytes`.
 */
export function showExcess(bytes: number, limit: number): { bytes: string; limit: string } {
  const texts = { bytes: showBytes(bytes), limit: showBytes(limit) };
  if (texts.bytes !== texts.limit) return texts;
  const exact = (count: number) => `${count.toLocaleString("en")} bytes`;
  return { bytes: exact(bytes), limit: exact(limit) };
}
