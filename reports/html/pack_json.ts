/**
 * JSON for a `<script>` element of a page: lists of alike records laid out by columns, which the
 * deflate after it likes much better, in base64, which has no character that could end the element.
 * `client/packed.ts` has the way back.
 *
 * @module
 */
import { strToU8, zlibSync } from "fflate";

/** Type of the element. */
export const PACKED_TYPE = "application/json+columns+deflate+base64";

/** Shorter lists are not packed. */
const LEAST_ROWS = 4;

/**
 * A value as the content of a script of {@linkcode PACKED_TYPE}. Unpacking gives the same JSON to
 * the byte.
 *
 * @param json Its text, without white space.
 */
export function packJson(json: string): string {
  // An empty name marks columns: a result that has one itself is packed as a text.
  const packed = json.includes('"":') ? json : toColumns(JSON.parse(json));
  return zlibSync(strToU8(JSON.stringify(packed)), { level: 9 }).toBase64();
}

/**
 * Lists of records as `{"": [keys, columns]}`, where `{"": 0}` stands for a field that a record
 * lacks, and lists of lists of one length as `{"": [null, columns]}`.
 */
function toColumns(value: unknown): unknown {
  if (Array.isArray(value)) {
    const keys = value.length < LEAST_ROWS ? undefined : commonKeys(value);
    if (keys === undefined) return value.map(toColumns);
    const columns = keys.map((key) =>
      toColumns(value.map((row) => Object.hasOwn(row, key) ? row[key] : { "": 0 }))
    );
    return { "": [Array.isArray(value[0]) ? null : keys, columns] };
  }
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, toColumns(field)]));
}

/**
 * The fields of all records in an order consistent with each of them, or the indices of lists of one
 * length; undefined if there is no such order.
 */
function commonKeys(rows: readonly unknown[]): readonly string[] | undefined {
  if (rows.every(Array.isArray)) {
    const { length } = rows[0];
    const alike = length > 0 && rows.every((row) => row.length === length);
    return alike ? Array.from(rows[0], (_, i) => String(i)) : undefined;
  }
  const order: string[] = [];
  for (const row of rows) {
    if (row === null || typeof row !== "object" || Array.isArray(row)) return undefined;
    let after = 0;
    for (const key of Object.keys(row)) {
      // The mark of a field that a record of the list around this one lacks.
      if (key === "") return undefined;
      const at = order.indexOf(key);
      if (at >= 0 && at < after) return undefined;
      if (at < 0) order.splice(after, 0, key);
      after = (at < 0 ? after : at) + 1;
    }
  }
  return order.length > 0 ? order : undefined;
}
