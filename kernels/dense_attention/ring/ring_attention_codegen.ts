/**
 * The generated part of `ring_attention.wgsl`: dense attention's, and the merge with earlier steps.
 *
 * @module
 */
import { range, wgsl } from "../../gpu/wgsl.ts";
import { generateAttention } from "../portable/dense_attention_codegen.ts";
import { layOut, type TileProgram } from "../portable/tile_layout.ts";

/** The generated WGSL to append to `ring_attention.wgsl`. */
export function generateRing(
  program: TileProgram,
  options: { readonly subgroups: boolean },
): string {
  const { rowsPerThread } = layOut(program.tiling, program.headDim);
  const rows = range(rowsPerThread);
  // Every thread that holds part of a row reads the row's old log-sum-exp. The barrier ensures that
  // all have read it before one of them writes.
  return wgsl`
    ${generateAttention(program, { ...options, keyEnd: "params.keyEnd" })}
    fn mergeRows() {
      let row = row0 + ty * ${rowsPerThread}u;
      let fresh = params.fresh == 1u;
      ${rows.map(readBefore)}
      storageBarrier();
      ${rows.map((r) => mergeRow(program, r))}
    }

  `;
}

/** The log-sum-exp of a row after earlier steps, in base 2. */
function readBefore(r: number): string {
  return wgsl`
    var before${r} = MASKED;
    if (!fresh && row + ${r}u < params.queryEnd) {
      before${r} = logSumExp[headRow + row + ${r}u] * LOG2E;
    }
  `;
}

/** Merges a row by the log-sum-exp of both parts. */
function mergeRow({ tiling, headDim }: TileProgram, r: number): string {
  const { depthGroups } = layOut(tiling, headDim);
  // Unwritten memory may hold anything, NaN included, so it is not read.
  const mergeVector = (g: number) => {
    const cell = `merged[at + ${g * tiling.threadsX}u]`;
    return `if (fresh) { ${cell} = o${r}_${g} * take; } ` +
      `else { ${cell} = fma(${cell}, vec4f(keep), o${r}_${g} * take); }`;
  };
  return wgsl`
    if (row + ${r}u < params.queryEnd) {
      let now = m${r} + log2(l${r});
      let most = max(before${r}, now);
      let kept = exp2(before${r} - most);
      let added = exp2(now - most);
      let total = kept + added;
      let keep = kept / total; let take = added / (total * l${r});
      let at = (headRow + row + ${r}u) * ${headDim / 4}u + tx;
      ${range(depthGroups).map(mergeVector)}
      if (tx == 0u) { logSumExp[headRow + row + ${r}u] = (most + log2(total)) * LN2; }
    }
  `;
}
