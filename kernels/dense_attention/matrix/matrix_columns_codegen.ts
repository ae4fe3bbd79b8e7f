/**
 * Rewrites a generated shader so that each product has 8 columns instead of 16.
 *
 * NVIDIA's own instruction has 16 × 8 × 16; a product of 16 columns is two of them. With 8 columns
 * each operand on the right takes two registers of a lane and not four, each result four and not
 * eight, so the compiler places them one by one. Memory and values stay the same: of a matrix
 * `name`, `name_0` holds the first 8 columns and `name_1` the others.
 *
 * @module
 */
import type { MatrixBackwardTiling } from "../tilings.ts";

/** The shader of a tiling: with products of 8 columns if it asks for them. */
export function withColumns({ columns }: MatrixBackwardTiling, code: string): string {
  return columns === 8 ? narrowProducts(code) : code;
}

const STATEMENT =
  /((?:let |var )?)(\w+) = ((?:subgroupMatrixLoad<subgroup_matrix_(?:right|result)|subgroupMatrixMultiplyAccumulate|subgroupMatrixScalarMultiply|subgroup_matrix_result<)[^;]*);|subgroupMatrixStore<[^;]*;/g;

function narrowProducts(code: string): string {
  const rewritten = code.replace(
    STATEMENT,
    (text: string, declare: string | undefined, name: string, value: string) =>
      [0, 1].map((half) =>
        declare === undefined
          ? narrowStore(text, half)
          : `${declare}${name}_${half} = ${narrowValue(value, half)};`
      ).join(" "),
  );
  return rewritten
    .replaceAll("subgroup_matrix_right<f16, 16, 16>", "subgroup_matrix_right<f16, 8, 16>")
    .replaceAll("subgroup_matrix_result<f32, 16, 16>", "subgroup_matrix_result<f32, 8, 16>");
}

function narrowValue(value: string, half: number): string {
  if (value.startsWith("subgroup_matrix_result")) return value;
  const { callee, given } = parseCall(value);
  if (callee.startsWith("subgroupMatrixLoad")) {
    const [buffer, offset, stride] = given;
    const right = callee.includes("_right<");
    // Columns of a right matrix in column order are rows of memory.
    const step = !right
      ? columnsOf(buffer)
      : callee.endsWith("col_major>")
      ? `8u * (${stride})`
      : "1u";
    return `${callee}(${buffer}, ${move(offset, step, half)}, ${stride})`;
  }
  const matrix = (text: string) => /^\w+$/.test(text) ? `${text}_${half}` : narrowValue(text, half);
  if (callee === "subgroupMatrixScalarMultiply") {
    return `${callee}(${matrix(given[0])}, ${given[1]})`;
  }
  const [left, right, sum] = given;
  return `${callee}(${left}, ${matrix(right)}, ${matrix(sum)})`;
}

/** A store of a result. */
function narrowStore(text: string, half: number): string {
  const { callee, given: [buffer, offset, result, stride] } = parseCall(text.slice(0, -1));
  return `${callee}(${buffer}, ${
    move(offset, columnsOf(buffer), half)
  }, ${result}_${half}, ${stride});`;
}

/** Elements of a buffer that 8 f32 columns take: vectors of the scratch, numbers of other sums. */
function columnsOf(buffer: string): string {
  return buffer === "&scratch" ? "2u" : "8u";
}

function move(offset: string, step: string, half: number): string {
  return half === 0 ? offset : `${offset} + ${step}`;
}

/** A call and its arguments. */
function parseCall(text: string): { readonly callee: string; readonly given: readonly string[] } {
  const open = text.indexOf("(");
  const given: string[] = [];
  let [depth, from] = [0, open + 1];
  for (let at = open; at < text.length; at++) {
    const character = text[at];
    // `<` and `>` stand for templates only: no argument compares.
    if ("(<[".includes(character)) depth++;
    if (")>]".includes(character)) depth--;
    if (depth > 1 || (character !== "," && depth > 0)) continue;
    given.push(text.slice(from, at).trim());
    from = at + 1;
  }
  return { callee: text.slice(0, open), given };
}
