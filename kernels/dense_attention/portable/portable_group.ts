/**
 * The portable kernels of dense attention where several query heads share a head of keys and
 * values: `keyRow` is the first row of that head, `GROUP` the number of query heads.
 *
 * @module
 */
import { replaceLines } from "../tile_walk.ts";

const KEY_ROW = "\nvar<private> keyRow: u32; // first row of the head of keys and values\n";

/** Adds a line to a shader's text after one of its lines, and the declaration of `keyRow`. */
function withKeyRow(code: string, line: string, keyRow: string): string {
  return replaceLines(code, { [line]: [line, keyRow] }) + KEY_ROW;
}

/** `dense_attention.wgsl`, with or without a walk. */
export function groupForward(code: string, group: number): string {
  if (group === 1) return code;
  const line = "headRow = head * params.rows * ROW_STRIDE + residue;";
  return withKeyRow(code, line, "keyRow = head / GROUP * params.rows * ROW_STRIDE + residue;");
}

/** `dense_attention_backward_query.wgsl`, with or without a walk. */
export function groupQueryBackward(code: string, group: number): string {
  if (group === 1) return code;
  const line = "headRow = group.x * params.rows;";
  return withKeyRow(code, line, "keyRow = group.x / GROUP * params.rows;");
}

/**
 * `dense_attention_backward_key_value.wgsl`, with or without a walk: a workgroup adds up the query
 * heads of its key head, one after another.
 */
export function groupKeyValueBackward(code: string, group: number): string {
  if (group === 1) return code;
  const clear = "clearKeyGradient();";
  const store = "storeKeyRows();";
  return replaceLines(code.replaceAll("openWalk(group.x,", "openWalk(head,"), {
    "headRow = group.x * params.rows;": ["keyRow = group.x * params.rows;"],
    [clear]: [clear, "clearValueGradient();", "for (var member = 0u; member < GROUP; member++) {"],
    "clearValueGradient();": [
      "let head = group.x * GROUP + member;",
      "headRow = head * params.rows;",
    ],
    [store]: ["}", store],
  }) + KEY_ROW;
}
