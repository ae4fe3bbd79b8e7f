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
  return typeof value === "string" ? JSON.parse(value) : fromColumns(value);
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

function fromColumns(value: Json): Json {
  if (Array.isArray(value)) return value.map(fromColumns);
  if (value === null || typeof value !== "object") return value;
  if (!Array.isArray(value[""])) {
    return Object.fromEntries(
      Object.entries(value).map(([key, field]) => [key, fromColumns(field)]),
    );
  }
  const [keys, packed] = value[""] as [string[] | null, Json[]];
  const columns = packed.map(fromColumns) as Json[][];
  return columns[0].map((_, row) => {
    const cells = columns.map((column) => column[row]);
    if (keys === null) return cells;
    const present = keys.map((key, i): [string, Json] => [key, cells[i]]);
    return Object.fromEntries(present.filter(([, cell]) => !isAbsent(cell)));
  });
}

/** The mark of a field that a record lacks. */
function isAbsent(cell: Json): boolean {
  return cell !== null && typeof cell === "object" && !Array.isArray(cell) && cell[""] === 0;
}
