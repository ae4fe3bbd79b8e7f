/**
 * WGSL of the states of gla scores on subgroup matrices: see `gla_matrix_codegen.ts`.
 *
 * @module
 */
import {
  LEFT,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  RESULT,
  RIGHT,
  storeResult,
} from "../../../dense_attention/matrix/matrix_exchange_codegen.ts";
import {
  SCORE_STRIDE,
  SCRATCH,
  stageStride,
} from "../../../dense_attention/matrix/matrix_layout.ts";
import { flatWgsl, range, wgsl } from "../../../gpu/wgsl.ts";
import {
  BLOCKS,
  declare,
  MATRIX_CHUNK,
  multiply,
  OPEN_MAIN,
  PARAMS,
  POWERS,
  shares,
  SUBGROUPS,
  vectorOf,
} from "./gla_matrix_shared_codegen.ts";

/** Chunks whose rows are in registers before they are staged. */
const AHEAD = 3;

/** 8 elements of a result of a lane, as `a<name>` and `z<name>`. */
function readLane(name: string): string {
  return flatWgsl`
    let at${name} = scratch0 + row16 * ${SCORE_STRIDE}u + side * 2u;
    let a${name} = bitcast<vec4f>(scratch[at${name}]);
    let z${name} = bitcast<vec4f>(scratch[at${name} + 1u]);
  `;
}

/**
 * The pass over states of both directions. Bindings: params, cumulative, q, k, v, states, scales,
 * partials (the state between dispatches). Workgroups: (d/64)² × sequences.
 */
export function generateMatrixStates(headDim: number): string {
  const vectors = headDim / 8;
  const slices = headDim / 64;
  const stride = stageStride(64);
  const mine = shares(8);
  const sets = range(AHEAD);
  // Registers hold the rows of the next AHEAD chunks, each set those of every AHEAD-th.
  const fetch = (declare: string, set: number, chunk: string) =>
    flatWgsl`
      ${
      mine.flatMap(({ i, row, column }) => {
        const at = `((params.firstChunk + ${chunk}) * ${MATRIX_CHUNK}u + ${row})`;
        const name = `${set}_${i}`;
        return [
          `${declare}key${name} = ${vectorOf("k", at, `half * 8u + ${column}`, vectors)};`,
          `${declare}query${name} = ${vectorOf("q", at, `half * 8u + ${column}`, vectors)};`,
          `${declare}value${name} = ${vectorOf("v", at, `columns * 8u + ${column}`, vectors)};`,
          `${declare}sum${name} = cumulative[(group.y * params.chunks + ${chunk}) * ${MATRIX_CHUNK}u + ${row}];`,
        ];
      })
    }
      ${declare}end${set} = cumulative[(group.y * params.chunks + ${chunk}) * ${MATRIX_CHUNK}u + ${
      MATRIX_CHUNK - 1
    }u];
    `;
  const carried = (m: number) => `carry + ${m * 16 * headDim}u`;
  const storeState = (m: number) =>
    `states[(slot * ${headDim}u + half * 64u + ${16 * m}u + row16) * ${vectors}u + ` +
    `columns * 8u + own * 2u + side] = packed(a${m} * smaller, z${m} * smaller);`;
  // Stores the state before chunk c, and adds the chunk to it.
  const step = (set: number) =>
    flatWgsl`
        let slot = sequence * params.chunks + c + ${set}u;
        {
          ${BLOCKS.flatMap((m) => [storeResult("scratch0", `s${m}`), readLane(`${m}`)])}
          let most = ${
      BLOCKS.map((m) => `largestOf(a${m}, z${m})`).reduce((all, one) => `max(${all}, ${one})`)
    };
          let exponent = exponentOf(subgroupMax(most), -60);
          let smaller = power(-exponent);
          ${BLOCKS.map(storeState)}
          if ((local & 31u) == 0u) {
            scales[(slot * ${slices}u + half) * ${
      headDim / 16
    }u + columns * 4u + own] = power(exponent);
          }
        }
        workgroupBarrier();
        ${
      mine.flatMap(({ i, row, column }) => [
        `writerStage[${row} * ${stride}u + ${column}] = key${set}_${i};`,
        `writerStage[${
          MATRIX_CHUNK * stride
        }u + ${row} * ${stride}u + ${column}] = query${set}_${i};`,
        `valueStage[${row} * ${stride}u + ${column}] = ` +
        `scaled(value${set}_${i}, exp(min(end${set} - sum${set}_${i}, 0.0)));`,
      ])
    }
        let kept = exp(end${set});
        workgroupBarrier();
        {
          let next = min(c + ${set + AHEAD}u, params.chunks - 1u);
          ${fetch("", set, "next")}
        }
        ${BLOCKS.map((m) => multiply(`s${m}`, "kept"))}
        ${
      BLOCKS.map((k) =>
        flatWgsl`
          { let v${k} = subgroupMatrixLoad<${RIGHT}, row_major>(&valueStage, ${
          16 * k * stride
        }u + own * 2u, ${stride}u);
            ${
          BLOCKS.flatMap((m) => [
            `let w${k}_${m} = subgroupMatrixLoad<${LEFT}, col_major>(&writerStage, writers + ${
              16 * k * stride + 2 * m
            }u, ${stride}u);`,
            multiplyAdd(`s${m}`, `w${k}_${m}`, `v${k}`),
          ])
        }
          }`
      )
    }
    `;
  return wgsl`
    ${MATRIX_DIRECTIVES}
    ${PARAMS}
    ${
    declare([
      "var<uniform> params: Params;",
      `var<storage, read> cumulative: array<f32>; // [sequences, chunks, ${MATRIX_CHUNK}]`,
      "var<storage, read> q: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read> k: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read> v: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read_write> states: array<vec4u>; // [2, sequences, chunks, d, d] f16, over the scales",
      "var<storage, read_write> scales: array<f32>; // [2, sequences, chunks, d / 64, d / 16]",
      "var<storage, read_write> partials: array<f32>; // [2, sequences, d, d]",
    ])
  }

    var<workgroup> writerStage: array<vec4u, ${2 * MATRIX_CHUNK * stride}>; // keys, then queries
    var<workgroup> valueStage: array<vec4u, ${MATRIX_CHUNK * stride}>;
    var<workgroup> scratch: array<vec4u, ${2 * SUBGROUPS * SCRATCH}>;

    ${OPEN_MAIN}
      let half = group.x / ${slices}u;    // 64 rows of the state: elements of writers
      let columns = group.x % ${slices}u; // 64 columns: elements of values
      let sequence = direction * groups.y + group.y;
      let writers = direction * ${MATRIX_CHUNK * stride}u;
      let carry = (sequence * ${headDim}u + half * 64u) * ${headDim}u + columns * 64u + own * 16u;
      ${BLOCKS.map((m) => `var s${m} = ${RESULT}();`)}
      if (params.firstChunk > 0u) {
        ${
    BLOCKS.map((m) =>
      `s${m} = subgroupMatrixLoad<${RESULT}, row_major>(&partials, ${carried(m)}, ${headDim}u);`
    )
  }
      }
      ${sets.map((set) => fetch("var ", set, `min(${set}u, params.chunks - 1u)`))}
      for (var c = 0u; c < params.chunks; c += ${AHEAD}u) {
        ${
    sets.map((set) =>
      flatWgsl`
        ${set > 0 ? `if (c + ${set}u < params.chunks) {` : "{"}
          ${step(set)}
        }
      `
    )
  }
      }
      ${
    BLOCKS.map((m) =>
      `subgroupMatrixStore<row_major>(&partials, ${carried(m)}, s${m}, ${headDim}u);`
    )
  }
    }
    ${POWERS}

  `;
}
