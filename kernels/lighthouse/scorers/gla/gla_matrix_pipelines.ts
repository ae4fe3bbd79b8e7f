/**
 * The passes of gla scores on matrix units (`gla_matrix_codegen.ts`), ready to compile.
 *
 * @module
 */
import chunkCode from "./gla_chunk.wgsl" with { type: "text" };
import cumulativeCode from "./gla_cumulative.wgsl" with { type: "text" };
import { SCRATCH, stageStride } from "../../../dense_attention/matrix/matrix_layout.ts";
import type { PipelineSource } from "../../../gpu/pipeline.ts";
import { generateMatrixScores } from "./gla_matrix_codegen.ts";
import { MATRIX_CHUNK, SUBGROUPS } from "./gla_matrix_shared_codegen.ts";
import { generateMatrixStates } from "./gla_matrix_states_codegen.ts";

/** Bytes of workgroup memory of the pass that needs most. */
export function matrixGlaBytes(headDim: number): number {
  const scores = 2 * 16 * (MATRIX_CHUNK * stageStride(headDim) + SUBGROUPS * SCRATCH) +
    4 * MATRIX_CHUNK;
  const states = 16 * (3 * MATRIX_CHUNK * stageStride(64) + 2 * SUBGROUPS * SCRATCH);
  return Math.max(scores, states);
}

/** The three passes. */
export function matrixPipelines(
  headDim: number,
): Readonly<Record<"gates" | "states" | "scores", PipelineSource>> {
  const constants = [`CHUNK = ${MATRIX_CHUNK}u`, `THREADS_X = ${MATRIX_CHUNK}u`, "THREADS_Y = 1u"];
  return {
    gates: {
      label: "gla cumulative gates",
      code: [cumulativeCode, chunkCode, ...constants.map((text) => `const ${text};`), ""].join(
        "\n",
      ),
      bindings: ["uniform", "read", "read-write"],
    },
    states: {
      label: `gla states on matrix units d=${headDim}`,
      code: generateMatrixStates(headDim),
      bindings: [
        "uniform",
        ...Array<"read">(4).fill("read"),
        ...Array<"read-write">(3).fill("read-write"),
      ],
    },
    scores: {
      label: `gla scores on matrix units d=${headDim}`,
      code: generateMatrixScores(headDim),
      bindings: ["uniform", ...Array<"read">(6).fill("read"), "read-write", "read-write"],
    },
  };
}
