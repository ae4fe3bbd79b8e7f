/**
 * JSON for a `<script>` element of a page: every field of all alike records in one column, however
 * deep the records lie, which the deflate after it likes much better, in base64, which has no
 * character that could end the element. `client/packed.ts` has the way back.
 *
 * @module
 */
import { strToU8, zlibSync } from "fflate";

/** Type of the element. */
export const PACKED_TYPE = "application/json+columns+deflate+base64";

type Json = null | boolean | number | string | Json[] | Fields;
type Fields = { [key: string]: Json };

/**
 * A value as the content of a script of {@linkcode PACKED_TYPE}. Unpacking gives the same JSON to
 * the byte.
 *
 * @param json Its text, without white space.
 */
export function packJson(json: string): string {
  // An empty name marks columns: a result that has one itself is packed as a text.
  const packed = json.includes('"":') ? json : toColumns([JSON.parse(json)]);
  return zlibSync(strToU8(JSON.stringify(packed)), { level: 9 }).toBase64();
}

/**
 * A list as `{"": [kinds, values, keys, shapes, which, columns, lengths, items]}`. The kinds are a
 * character for each entry: a value, a record or a list. Then come the values; for the records all
 * their names of fields, the orders in which these occur, which order each record has, and a column for
 * each name with the fields of the records that have it; the items of all lists in one. A list of
 * values alone stays as it is.
 */
function toColumns(list: readonly Json[]): Json {
  const kinds = list.map((entry) => Array.isArray(entry) ? "l" : isRecord(entry) ? "r" : "v")
    .join("");
  if (/^v*$/.test(kinds)) return [...list];
  const values = list.filter((_, i) => kinds[i] === "v");
  const lists = list.filter((entry) => Array.isArray(entry));
  const columns = new Map<string, Json[]>();
  const shapes = new Map<string, string[]>();
  const which = list.filter(isRecord).map((record) => {
    const keys = Object.keys(record);
    for (const key of keys) {
      const column = columns.get(key);
      if (column === undefined) columns.set(key, [record[key]]);
      else column.push(record[key]);
    }
    const shape = JSON.stringify(keys);
    if (!shapes.has(shape)) shapes.set(shape, keys);
    return shape;
  });
  const numbers = new Map([...shapes.keys()].map((shape, i) => [shape, i]));
  const names = [...columns.keys()];
  return {
    "": [
      kinds,
      values,
      names,
      [...shapes.values()].map((keys) => keys.map((key) => names.indexOf(key))),
      which.map((shape) => numbers.get(shape)!),
      [...columns.values()].map(toColumns),
      lists.map(({ length }) => length),
      toColumns(lists.flat()),
    ],
  };
}

function isRecord(entry: Json): entry is Fields {
  return typeof entry === "object" && entry !== null && !Array.isArray(entry);
}
