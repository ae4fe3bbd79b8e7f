/**
 * The generated half of `ring_attention.wgsl`: dense attention's, with another end.
 *
 * @module
 */
import { generateAttention } from "../portable/dense_attention_codegen.ts";
import { layOut, range, type TileProgram } from "../portable/tile_codegen.ts";

/** Generated text to append to `ring_attention.wgsl`. */
export function generateRing(program: TileProgram, options: { subgroups: boolean }): string {
  const { tiling, headDim } = program;
  const { rowsPerThread, depthGroups } = layOut(tiling, headDim);
  const out = [
    generateAttention(program, { ...options, keyEnd: "params.keyEnd" }),
    "fn mergeRows() {",
    `  let row = row0 + ty * ${rowsPerThread}u;`,
    "  let fresh = params.fresh == 1u;",
  ];
  // A row's old log-sum-exp is read by every thread that holds a part of it, so all read it before
  // one of them writes: the barrier below.
  for (const r of range(rowsPerThread)) {
    out.push(
      `  var before${r} = MASKED;`,
      `  if (!fresh && row + ${r}u < params.queryEnd) {`,
      `    before${r} = logSumExp[headRow + row + ${r}u] * LOG2E;`,
      "  }",
    );
  }
  out.push("  storageBarrier();");
  for (const r of range(rowsPerThread)) {
    out.push(
      `  if (row + ${r}u < params.queryEnd) {`,
      `    let now = m${r} + log2(l${r});`,
      `    let most = max(before${r}, now);`,
      `    let kept = exp2(before${r} - most);`,
      "    let added = exp2(now - most);",
      "    let total = kept + added;",
      `    let keep = kept / total; let take = added / (total * l${r});`,
      `    let at = (headRow + row + ${r}u) * ${headDim / 4}u + tx;`,
    );
    for (const g of range(depthGroups)) {
      const cell = `merged[at + ${g * tiling.threadsX}u]`;
      // What was never written may be anything, NaN included: it is not read.
      out.push(
        `    if (fresh) { ${cell} = o${r}_${g} * take; } ` +
          `else { ${cell} = fma(${cell}, vec4f(keep), o${r}_${g} * take); }`,
      );
    }
    out.push(
      `    if (tx == 0u) { logSumExp[headRow + row + ${r}u] = (most + log2(total)) * LN2; }`,
      "  }",
    );
  }
  out.push("}");
  return out.join("\n") + "\n";
}
