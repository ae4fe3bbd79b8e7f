/**
 * The portable kernels of dense attention with their loop over tiles replaced by a walk.
 * `tile_walk.ts` says what a walk declares.
 *
 * @module
 */
import { replaceLines } from "../tile_walk.ts";

/** State that the masks of a walk read in functions that reach only private variables. */
const PRIVATE = `
var<private> walk: Walk;
var<private> walkMask: u32;
`;

/** Opens the loop over a walk: `c0` is the column, as in the dense loop. */
function openLoop(head: string): string[] {
  return [
    `let path = openWalk(${head}, firstRow, 0u, params.rows);`,
    "walk = path; // for masks: control flow uses the constant",
    "for (var at = 0u; at < path.rows; at += TILE_COLUMNS) {",
    "  let c0 = walkedRow(path, at);",
    "  walkMask = walkedMask(path, at);",
  ];
}

const KEY_LOOP = "for (var c0 = 0u; c0 < end; c0 += TILE_COLUMNS) {";
const QUERY_LOOP =
  "for (var c0 = firstRow - firstRow % TILE_COLUMNS; c0 < params.rows; c0 += TILE_COLUMNS) {";
const END = "let end = min(firstRow + TILE_ROWS, params.rows);";

/**
 * `dense_attention.wgsl` with a walk.
 *
 * @param walk WGSL of {@linkcode TileWalk.code}.
 */
export function walkForward(code: string, walk: string): string {
  const mask = [
    "if (!walkSeesAll(path, walkMask, firstRow, TILE_ROWS, c0, TILE_COLUMNS)) { maskScores(c0); }",
  ];
  return replaceLines(code, {
    [END]: [],
    [KEY_LOOP]: openLoop("head"),
    "if (c0 + TILE_COLUMNS > firstRow + 1u) { maskScores(c0); }": mask,
  }) + walk + PRIVATE;
}

/** `dense_attention_backward_query.wgsl` with a walk. */
export function walkQueryBackward(code: string, walk: string): string {
  return replaceLines(code, { [END]: [], [KEY_LOOP]: openLoop("group.x") }) + walk + PRIVATE;
}

/** `dense_attention_backward_key_value.wgsl` with a walk. */
export function walkKeyValueBackward(code: string, walk: string): string {
  return replaceLines(code, { [QUERY_LOOP]: openLoop("group.x") }) + walk + PRIVATE;
}
