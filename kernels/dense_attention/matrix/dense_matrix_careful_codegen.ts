/**
 * WGSL of the careful pass of the forward kernel on subgroup matrices. It recomputes all rows of a
 * workgroup when one of them has a reference that restarts cannot find; see
 * `dense_matrix_codegen.ts`.
 *
 * A first loop over all keys finds the maximum t of each row; a second one computes the weights
 * 2^((x - t)·scale + 15). The difference is taken before scaling: near the maximum it is exact,
 * however large x and t are. A weight is at most 2^15, within f16; weights that f16 rounds to zero
 * are each below 2^-40 of the largest.
 *
 * Keys and values are loaded from memory 16 at a time, without staging: slow, rarely run, and
 * small.
 *
 * @module
 */
import { flatWgsl } from "../../gpu/wgsl.ts";
import {
  columnRows,
  type ForwardKernel,
  matrixInKeys,
  weightsPlace,
} from "./dense_matrix_step_codegen.ts";
import {
  columnsOfHalves,
  loadWeights,
  multiplyAdd,
  packWeights,
  readScores,
  RESULT,
  RIGHT,
  storeResult,
} from "./matrix_exchange_codegen.ts";

/** Power of two of the weight of a row's largest score. */
const LARGEST_WEIGHT = "15.0";

/** Recomputes all blocks of the workgroup if one of them is astray. */
export function carefulPass(kernel: ForwardKernel): string {
  return flatWgsl`

    if (workgroupUniformLoad(&astray) == 1u) {
      ${kernel.blockNumbers.map((b) => carefulBlock(kernel, b))}
    }
  `;
}

function carefulBlock(kernel: ForwardKernel, b: number): string {
  const { depth } = kernel;
  const place = weightsPlace(b);
  const addValues = (c: number) => {
    const at = matrixInKeys(kernel, "firstKey", c);
    const values = `subgroupMatrixLoad<${RIGHT}, row_major>(&values, ${at})`;
    return multiplyAdd(`o${b}_${c}`, "w", values);
  };
  return flatWgsl`
    {
      var t = MASKED;
      for (var k0 = 0u; k0 < end; k0 += 16u) {
        ${scoresFromMemory(kernel, b)}
        let y = max(xa, xb);
        t = max(t, max(max(y.x, y.y), max(y.z, y.w)));
      }
      t = max(t, subgroupShuffleXor(t, 16u));
      ${depth.map((c) => `o${b}_${c} = ${RESULT}();`)}
      l${b} = 0.0;
      for (var k0 = 0u; k0 < end; k0 += 16u) {
        ${scoresFromMemory(kernel, b)}
        xa = exp2(fma(xa - vec4f(t), vec4f(scale), vec4f(${LARGEST_WEIGHT})));
        xb = exp2(fma(xb - vec4f(t), vec4f(scale), vec4f(${LARGEST_WEIGHT})));
        ${packWeights("x")}
        scratch[${place} + weight0] = xw;
        ${loadWeights("w", place)}
        ${depth.map(addValues)}
        let sum = xa + xb;
        l${b} += (sum.x + sum.y) + (sum.z + sum.w);
      }
      m${b} = t * scale - ${LARGEST_WEIGHT};
    }
  `;
}

/**
 * A lane's scores `xa` and `xb` of block b against the 16 keys from `k0`, or the fewer that remain.
 */
function scoresFromMemory(kernel: ForwardKernel, b: number): string {
  const { walk } = kernel;
  const key0 = walk ? "key0" : "k0";
  const sees = (key: string) => walk ? `walkSees(path, seen, row, ${key})` : `(${key} <= row)`;
  const multiply = (c: number) => {
    const at = matrixInKeys(kernel, "firstKey", c);
    const keys = `subgroupMatrixLoad<${RIGHT}, col_major>(&keys, ${at})`;
    return multiplyAdd("s", `q${b}_${c}`, keys);
  };
  return flatWgsl`
    ${walk ? ["let key0 = walkedRow(path, k0);", "let seen = walkedMask(path, k0);"] : []}
    let firstKey = min(${key0}, ${columnRows(kernel)} - 16u);
    var s = ${RESULT}();
    ${kernel.depth.map(multiply)}
    ${storeResult("scratch0", "s")}
    ${readScores("scratch0", "x")}
    ${columnsOfHalves("firstKey")}
    let row = vec4u(block${b} + row16);
    xa = select(vec4f(MASKED), xa, ${sees("keyA")} & (keyA >= vec4u(${key0})));
    xb = select(vec4f(MASKED), xb, ${sees("keyB")} & (keyB >= vec4u(${key0})));
  `;
}
