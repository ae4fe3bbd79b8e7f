/**
 * WGSL of the portable kernel of matrix products: no matrix units, no f16 type.
 *
 * One workgroup computes a tile of the result. It walks the depth in steps: both factors are staged
 * in workgroup memory as f32, `[depth][lines]`, whatever way they are stored, and every thread adds
 * rank-1 updates to its 4 or 8 rows of 8 columns in registers. Two stages alternate, so that a step
 * needs one barrier: the stage that is filled was last read before it.
 *
 * Every write to workgroup memory is a whole vector by one thread.
 *
 * @module
 */
import { range, wgsl } from "../../gpu/wgsl.ts";
import {
  generateBindings,
  generateEpilogue,
  generateFactorPlaces,
  liesAlongDepth,
  ROTATE,
} from "./product_codegen.ts";
import type { PortableProductTiling } from "./product_tilings.ts";
import type { ProductOptions } from "./types.ts";

/** One factor of a tile, and how threads stage it. */
interface Factor {
  readonly name: "left" | "right";
  /** WGSL of the number of lines. */
  readonly count: string;
  /** WGSL of the workgroup's first line. */
  readonly first: string;
  /** Lines of the tile, in fours. */
  readonly lines: number;
  readonly alongDepth: boolean;
  readonly depth: number;
  readonly threads: number;
}

/** The shader. */
export function generatePortableProduct(
  options: ProductOptions & { readonly slices: number },
  tiling: PortableProductTiling,
): string {
  const { rows, columns, threadsY, depth } = tiling;
  const threadsX = columns / 8;
  const threads = threadsX * threadsY;
  const quads = rows / threadsY / 4;
  const shared = { depth, threads };
  const left: Factor = {
    ...shared,
    name: "left",
    count: "params.rows",
    first: "row0",
    lines: rows / 4,
    alongDepth: liesAlongDepth(options.form, "left"),
  };
  const right: Factor = {
    ...shared,
    name: "right",
    count: "params.columns",
    first: "column0",
    lines: columns / 4,
    alongDepth: liesAlongDepth(options.form, "right"),
  };
  const factors = [left, right];
  const rowsOfThread = range(4 * quads);
  return wgsl`
    ${generateBindings(options, { vector: "FactorQuad", access: "read" })}
    alias FactorQuad = ${options.dtype === "f16" ? "vec2u" : "vec4f"};
    ${
    options.dtype === "f16"
      ? "fn widen(quad: vec2u) -> vec4f { return vec4f(unpack2x16float(quad.x), unpack2x16float(quad.y)); }"
      : "fn widen(quad: vec4f) -> vec4f { return quad; }"
  }
    ${generateFactorPlaces(options, 4)}
    ${options.result.kind === "rope" ? [ROTATE] : []}
    ${generateEpilogue(options)}
    var<workgroup> leftStage: array<vec4f, ${2 * depth * left.lines}>;
    var<workgroup> rightStage: array<vec4f, ${2 * depth * right.lines}>;

    @compute @workgroup_size(${threads})
    fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
      let tx = local % ${threadsX}u;
      let ty = local / ${threadsX}u;
      let row0 = group.y * ${rows}u;
      let column0 = group.x * ${columns}u;
      let begin = group.z * params.sliceDepth;
      let end = min(begin + params.sliceDepth, params.depth);
      ${rowsOfThread.map((r) => `var a${r} = vec4f(); var b${r} = vec4f();`)}
      ${factors.flatMap((factor) => fetch(factor, "begin", true))}
      ${factors.flatMap((factor) => put(factor, "0u"))}
      var stage = 0u;
      for (var k0 = begin; k0 < end; k0 += ${depth}u) {
        workgroupBarrier();
        ${factors.flatMap((factor) => fetch(factor, `k0 + ${depth}u`, false))}
        for (var k = 0u; k < ${depth}u; k++) {
          let leftAt = (stage * ${depth}u + k) * ${left.lines}u + ty * ${quads}u;
          let rightAt = (stage * ${depth}u + k) * ${right.lines}u + tx * 2u;
          ${range(quads).map((q) => `let x${q} = leftStage[leftAt + ${q}u];`)}
          let y0 = rightStage[rightAt];
          let y1 = rightStage[rightAt + 1u];
          ${
    rowsOfThread.map((r) => {
      const x = `vec4f(x${Math.floor(r / 4)}.${"xyzw"[r % 4]})`;
      return `a${r} = fma(${x}, y0, a${r}); b${r} = fma(${x}, y1, b${r});`;
    })
  }
        }
        stage = 1u - stage;
        ${factors.flatMap((factor) => put(factor, "stage"))}
      }
      let row = row0 + ty * ${4 * quads}u;
      let column = column0 + tx * 8u;
      ${rowsOfThread.map((r) => `storeOctet(group.z, row + ${r}u, column, a${r}, b${r});`)}
    }

  `;
}

/** Units of staging: 4 lines at 4 depths where lines lie along the depth, else 4 lines at one. */
function unitsOf({ lines, depth, alongDepth }: Factor): number {
  return lines * (alongDepth ? depth / 4 : depth);
}

/** Registers of a thread's units, by unit. */
function unitNumbers(factor: Factor): number[] {
  return range(Math.ceil(unitsOf(factor) / factor.threads));
}

/**
 * Statements that load a thread's vectors of the step that begins at `from`; zeros beyond the ends.
 */
function fetch(factor: Factor, from: string, declare: boolean): string[] {
  const { name, lines, first, count, alongDepth, threads } = factor;
  const registers = alongDepth ? range(4) : [0];
  return unitNumbers(factor).map((n) => {
    const declared = registers.map((j) =>
      `${declare ? "var " : ""}${name}${n}_${j} = FactorQuad();`
    );
    const line = `${first} + u % ${lines}u * 4u`;
    const load = alongDepth
      ? wgsl`
        let k = ${from} + u / ${lines}u * 4u;
        let line = ${line};
        if (k < end) {
          ${
        registers.map((j) =>
          `if (line + ${j}u < ${count}) { ${name}${n}_${j} = ${name}[${name}Place(line + ${j}u, k)]; }`
        )
      }
        }
      `
      : wgsl`
        let k = ${from} + u / ${lines}u;
        let line = ${line};
        if (k < end && line < ${count}) { ${name}${n}_0 = ${name}[${name}Place(k, line)]; }
      `;
    return wgsl`
      ${declared}
      {
        let u = local + ${n * threads}u;
        ${load}
      }
    `;
  });
}

/** Statements that put what was fetched into a stage. */
function put(factor: Factor, stage: string): string[] {
  const { name, lines, depth, alongDepth, threads } = factor;
  const units = unitsOf(factor);
  return unitNumbers(factor).map((n) => {
    const at = `(${stage} * ${depth}u + k) * ${lines}u + u % ${lines}u`;
    const widened = range(4).map((j) => `let w${j} = widen(${name}${n}_${j});`);
    const stores = alongDepth
      ? wgsl`
        let k = u / ${lines}u * 4u;
        let at = ${at};
        ${widened}
        ${
        [..."xyzw"].map((part, j) =>
          `${name}Stage[at + ${
            j * lines
          }u] = vec4f(w0.${part}, w1.${part}, w2.${part}, w3.${part});`
        )
      }
      `
      : wgsl`
        let k = u / ${lines}u;
        ${name}Stage[${at}] = widen(${name}${n}_0);
      `;
    const guard = (n + 1) * threads > units ? `if (u < ${units}u)` : "";
    return wgsl`
      {
        let u = local + ${n * threads}u;
        ${guard} {
          ${stores}
        }
      }
    `;
  });
}
