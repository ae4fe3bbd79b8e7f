/**
 * The inverse of `../pack_json.ts`.
 *
 * @module
 */

/** The value of a packed text. */
export async function unpack(text: string): Promise<unknown> {
  const packed = new Blob([Uint8Array.from(atob(text), (char) => char.charCodeAt(0))]);
  const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"));
  const value = await new Response(stream).json();
  // A text is JSON that could not be arranged in columns.
  return typeof value === "string" ? JSON.parse(value) : fromColumns(value)[0];
}

/** A list of values, or its columns: see `toColumns`. */
type Packed = unknown[] | {
  "": [
    kinds: string,
    values: unknown[],
    keys: string[],
    shapes: number[][],
    which: number[],
    columns: Packed[],
    lengths: number[],
    items: Packed,
  ];
};

function fromColumns(packed: Packed): unknown[] {
  if (Array.isArray(packed)) return packed;
  const [kinds, values, keys, shapes, which, encoded, lengths, encodedItems] = packed[""];
  const columns = encoded.map((column) => fromColumns(column).values());
  const items = fromColumns(encodedItems);
  let [value, record, list, item] = [0, 0, 0, 0];
  return Array.from(kinds, (kind) => {
    if (kind === "v") return values[value++];
    if (kind === "l") return items.slice(item, item += lengths[list++]);
    return Object.fromEntries(
      shapes[which[record++]].map((key) => [keys[key], columns[key].next().value]),
    );
  });
}
