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

/** The columns of a head, if they are rows of other tensors than own rows. */
const APART = `
var<private> column0Row: u32; // first column of this head in its tensors
var<private> columnRows: u32; // columns of this head
`;

/** Whether a walk's columns are rows of other tensors. */
interface Columns {
  readonly apart?: boolean;
}

/** Opens the loop over a walk: `c0` is the column, as in the dense loop. */
function openLoop(head: string, { apart }: Columns): string[] {
  return [
    ...apart ? [`column0Row = columnHead(${head}); columnRows = columnCount();`] : [],
    `let path = openWalk(${head}, firstRow, 0u, ${apart ? "columnCount()" : "params.rows"});`,
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

/** Own rows of a head begin where the walk says, if columns are rows of other tensors. */
function openHead({ apart }: Columns): Record<string, string[]> {
  return apart ? { "headRow = group.x * params.rows;": ["headRow = ownHead(group.x);"] } : {};
}

function privates({ apart }: Columns): string {
  return apart ? PRIVATE + APART : PRIVATE;
}

/**
 * `dense_attention.wgsl` with a walk.
 *
 * @param walk WGSL of {@linkcode TileWalk.code}.
 */
export function walkForward(code: string, walk: string, columns: Columns = {}): string {
  const mask = [
    "if (!walkSeesAll(path, walkMask, firstRow, TILE_ROWS, c0, TILE_COLUMNS)) { maskScores(c0); }",
  ];
  return replaceLines(code, {
    [END]: [],
    [KEY_LOOP]: openLoop("head", columns),
    "if (c0 + TILE_COLUMNS > firstRow + 1u) { maskScores(c0); }": mask,
  }) + walk + privates(columns);
}

/** `dense_attention_backward_query.wgsl` with a walk. */
export function walkQueryBackward(code: string, walk: string, columns: Columns = {}): string {
  return replaceLines(code, {
    [END]: [],
    [KEY_LOOP]: openLoop("group.x", columns),
    ...openHead(columns),
  }) + walk + privates(columns);
}

/** `dense_attention_backward_key_value.wgsl` with a walk. */
export function walkKeyValueBackward(code: string, walk: string, columns: Columns = {}): string {
  return replaceLines(code, {
    [QUERY_LOOP]: openLoop("group.x", columns),
    ...openHead(columns),
  }) + walk + privates(columns);
}
