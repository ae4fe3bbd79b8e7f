/**
 * WGSL that both kernels of matrix products share: bindings, where the elements of stored matrices
 * lie, and the epilogues. `portable_product_codegen.ts` and `matrix_product_codegen.ts` write the
 * sums.
 *
 * Expects of the kernel around it: a call of `storeOctet(row, column, a, b)` for every 8 adjacent
 * sums.
 *
 * @module
 */
import { wgsl } from "../../gpu/wgsl.ts";
import { quadCode } from "../quads.ts";
import type { HeadLayout, ProductForm, ProductOptions, ProductResult } from "./types.ts";

/** How the factors are bound. */
export type FactorAccess = "read" | "read-write";

/** Whether the elements of one line of a factor (a row of the left one) lie along the depth. */
export function liesAlongDepth(form: ProductForm, factor: "left" | "right"): boolean {
  return factor === "left" ? form !== "TN" : form === "NT";
}

/** The uniform. */
export const PRODUCT_STRUCT = `struct Params {
  rows: u32,
  columns: u32,
  depth: u32,
  sliceDepth: u32,  // depth of one slice
  context: u32,     // N of matrices that are stored by heads
  leftPart: u32,    // vectors from one part of the left factor to the next
  rightPart: u32,
  resultPart: u32,  // octets from one part of the result to the next
}
`;

/** The extra buffer of an epilogue, between the result and the uniform. */
export function extraOf(result: ProductResult): "table" | "residual" | "activation" | undefined {
  return ({ rope: "table", residual: "residual", swiglu: "activation" } as const)[
    result.kind as "rope" | "residual" | "swiglu"
  ];
}

/** Declarations of all bindings: factors, result, what the epilogue adds, uniform. */
export function generateBindings(
  options: ProductOptions,
  { vector, access }: { readonly vector: string; readonly access: FactorAccess },
): string {
  const mode = access === "read" ? "read" : "read_write";
  const octet = options.dtype === "f16" ? "vec4u" : "vec4f";
  const { result } = options;
  const type = result.kind === "store"
    ? (result.dtype === "f16" ? "vec4u" : "vec4f")
    : result.kind === "residual" || result.kind === "accumulate"
    ? "vec4f"
    : octet;
  const extra = {
    table: `@group(0) @binding(3) var<storage, ${mode}> table: array<vec4f>;`,
    residual: `@group(0) @binding(3) var<storage, ${mode}> residual: array<vec4f>;`,
    activation: "@group(0) @binding(3) var<storage, read_write> activation: array<Quad>;",
  };
  const name = extraOf(result);
  return wgsl`
    ${PRODUCT_STRUCT}
    @group(0) @binding(0) var<storage, ${mode}> left: array<${vector}>;
    @group(0) @binding(1) var<storage, ${mode}> right: array<${vector}>;
    @group(0) @binding(2) var<storage, read_write> result: array<${type}>;
    ${name ? [extra[name]] : []}
    @group(0) @binding(${name ? 4 : 3}) var<uniform> params: Params;

  `;
}

/**
 * The function `<name>(row, column)`: the vector of `width` elements in a stored matrix whose rows
 * have `columns` (WGSL) of them.
 */
export function generatePlace(
  name: string,
  options: {
    readonly heads?: HeadLayout;
    readonly width: number;
    readonly columns: string;
    readonly part: string;
  },
): string {
  const { heads: layout, width, columns, part } = options;
  if (!layout) {
    return wgsl`
      fn ${name}(row: u32, column: u32) -> u32 {
        return row * (${columns} / ${width}u) + column / ${width}u;
      }

    `;
  }
  const { parts, sequences, heads, headDim } = layout;
  // Divisions by numbers that are known only at run time are slow: left out for one sequence.
  const place = sequences === 1
    ? `(head ${parts > 1 ? `% ${heads}u` : ""}) * params.context + row`
    : `(row / params.context * ${heads}u + head ${
      parts > 1 ? `% ${heads}u` : ""
    }) * params.context` +
      ` + row % params.context`;
  const partStart = parts > 1 ? `head / ${heads}u * ${part} + ` : "";
  return wgsl`
    fn ${name}(row: u32, column: u32) -> u32 {
      let head = column / ${headDim}u;
      return ${partStart}(${place}) * ${headDim / width}u + column % ${headDim}u / ${width}u;
    }

  `;
}

/** Both factors: `leftPlace` and `rightPlace`, for vectors of `width` elements. */
export function generateFactorPlaces(options: ProductOptions, width: number): string {
  const along = (factor: "left" | "right") => liesAlongDepth(options.form, factor);
  return generatePlace("leftPlace", {
    heads: options.leftHeads,
    width,
    columns: along("left") ? "params.depth" : "params.rows",
    part: "params.leftPart",
  }) +
    generatePlace("rightPlace", {
      heads: options.rightHeads,
      width,
      columns: along("right") ? "params.depth" : "params.columns",
      part: "params.rightPart",
    });
}

/** What an epilogue is written for. */
export interface EpilogueOptions extends ProductOptions {
  readonly slices: number;
  /**
   * Whether the kernel loads what is added or rotated by ahead, with `addedOctet`. Default false.
   */
  readonly ahead?: boolean;
  /** Whether all rows and columns that are stored are within the result. Default false. */
  readonly whole?: boolean;
}

/** Whether an epilogue adds to the sums or rotates them by something that it loads. */
export function isAdded({ result: { kind }, slices }: EpilogueOptions): boolean {
  return kind === "residual" || kind === "rope" || kind === "accumulate" && slices === 1;
}

/**
 * The epilogue: `storeOctet(slice, row, column, a, b)` of 8 adjacent sums, and what it needs.
 * Ahead, `addedOctet(row, column)` loads the last argument of `storeOctet` where
 * {@linkcode isAdded}.
 */
export function generateEpilogue(options: EpilogueOptions): string {
  const { result, dtype, slices, whole = false } = options;
  const heads = result.kind === "store" || result.kind === "rope" ? result.heads : undefined;
  const stored = result.kind === "store" ? result.dtype : dtype;
  const halves = stored === "f16";
  const ahead = options.ahead && isAdded(options);
  const store = !halves
    ? "result[2u * at] = a; result[2u * at + 1u] = b;"
    : result.kind === "swiglu"
    ? "result[at] = vec4u(storedA, storedB);"
    : "result[at] = vec4u(packQuad(a), packQuad(b));";
  return wgsl`
    ${quadCode(stored)}
    ${
    generatePlace("resultPlace", {
      heads,
      width: 8,
      columns: "params.columns",
      part: "params.resultPart",
    })
  }
    ${ahead ? [loadAdded(result, whole)] : []}
    fn storeOctet(slice: u32, row: u32, column: u32, a0: vec4f, b0: vec4f${
    ahead ? ", added: Octet" : ""
  }) {
      ${whole ? [] : ["if (row >= params.rows || column >= params.columns) { return; }"]}
      let at = resultPlace(row, column);
      ${changeSums(result, { slices, ahead })}
      ${isStored(result, slices) ? [store] : []}
    }

  `;
}

/**
 * The function `addedOctet(row, column)`. Angles are loaded for the last part, too: a load within a
 * branch is waited for at its end.
 */
function loadAdded(result: ProductResult, whole: boolean): string {
  const load = result.kind === "rope"
    ? [
      turnOf(result.heads),
      "return Octet(table[turn], table[turn + 1u]);",
    ]
    : [
      "let at = resultPlace(row, column);",
      result.kind === "residual"
        ? "return Octet(residual[2u * at], residual[2u * at + 1u]);"
        : "return Octet(result[2u * at], result[2u * at + 1u]);",
    ];
  return wgsl`
    struct Octet {
      a: vec4f,
      b: vec4f,
    }
    fn addedOctet(row: u32, column: u32) -> Octet {
      ${whole ? [] : ["if (row >= params.rows || column >= params.columns) { return Octet(); }"]}
      ${load}
    }

  `;
}

/** Columns of all parts but the last. */
function rotatedColumns({ heads, headDim, parts }: HeadLayout): number {
  return (parts - 1) * heads * headDim;
}

/** The statement that finds the first angles of an octet in the table. */
function turnOf({ sequences, headDim }: HeadLayout): string {
  const position = sequences === 1 ? "row" : "row % params.context";
  return `let turn = (${position}) * ${headDim / 4}u + column % ${headDim}u / 4u;`;
}

/** Whether an epilogue leaves what is stored in `a` and `b`. */
function isStored({ kind }: ProductResult, slices: number): boolean {
  return slices === 1 && kind === "store" || kind === "rope" || kind === "swiglu";
}

/** Statements of an epilogue: `a` and `b` from the sums `a0` and `b0`, or the whole store. */
function changeSums(
  result: ProductResult,
  { slices, ahead }: { readonly slices: number; readonly ahead?: boolean },
): string[] {
  if (slices > 1) {
    return [
      "let first = 2u * (slice * (params.rows * params.columns / 8u) + at);",
      "result[first] = a0;",
      "result[first + 1u] = b0;",
    ];
  }
  if (ahead && (result.kind === "residual" || result.kind === "accumulate")) {
    return ["result[2u * at] = added.a + a0;", "result[2u * at + 1u] = added.b + b0;"];
  }
  switch (result.kind) {
    case "store":
      return ["let a = a0;", "let b = b0;"];
    case "residual":
      return [
        "result[2u * at] = residual[2u * at] + a0;",
        "result[2u * at + 1u] = residual[2u * at + 1u] + b0;",
      ];
    case "accumulate":
      return ["result[2u * at] += a0;", "result[2u * at + 1u] += b0;"];
    case "swiglu":
      return [
        wgsl`
          // What is stored counts, so that the backward pass finds the same activation.
          let storedA = packQuad(a0);
          let storedB = packQuad(b0);
          let a = unpackQuad(storedA);
          let b = unpackQuad(storedB);
          let gate = vec4f(a.xz, b.xz);
          activation[at] = packQuad(gate / (1.0 + exp(-gate)) * vec4f(a.yw, b.yw));
        `,
      ];
    case "rope":
      return [
        wgsl`
          var a = a0;
          var b = b0;
          if (column < ${rotatedColumns(result.heads)}u) {
            ${ahead ? [] : [turnOf(result.heads)]}
            a = rotate(a, ${ahead ? "added.a" : "table[turn]"});
            b = rotate(b, ${ahead ? "added.b" : "table[turn + 1u]"});
          }
        `,
      ];
  }
}

/** Rotation of two pairs by two angles, given as cos, sin, cos, sin. */
export const ROTATE = `fn rotate(pairs: vec4f, turn: vec4f) -> vec4f {
  return pairs * turn.xxzz + pairs.yxwz * turn.yyww * vec4f(-1.0, 1.0, -1.0, 1.0);
}
`;
