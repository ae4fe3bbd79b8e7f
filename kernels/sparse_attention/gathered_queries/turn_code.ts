/**
 * The code of passes over the queries of one of several turns: `turns.ts`.
 *
 * @module
 */
import type { QueryTurn } from "./list_sizes.ts";

/** The line of a shader that leaves out threads past the last query. */
const BOUND = "if (row >= params.rows) { return; }";

/**
 * The code of a pass over the queries of a turn: `params.rows` stays the distance between heads, and a turn
 * ends where its own queries do. A plan of one turn runs the code as it is.
 *
 * @throws {TypeError} when the code has no such line.
 */
export function codeOfTurn(code: string, turns: readonly QueryTurn[], turn: number): string {
  if (turns.length === 1) return code;
  if (!code.includes(BOUND)) throw new TypeError(`a pass over a turn lacks ${BOUND}`);
  const { first, end } = turns[turn];
  return `${code.replaceAll(BOUND, "if (row >= TURN_ROWS) { return; }")}
const TURN_ROWS = ${end - first}u; // queries of this turn
`;
}
