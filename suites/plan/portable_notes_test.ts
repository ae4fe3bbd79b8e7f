import assert from "node:assert/strict";
import { DESK } from "../../kernels/gpu/_desk_device.ts";
import { dense } from "../../kernels/dense_attention/dense_layer.ts";
import type { Problem } from "../../kernels/implementation.ts";
import { notesOnPortableKernels } from "./portable_notes.ts";

const MATRIX = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };

Deno.test("a run on Dawn reports why attention does not use matrix units, once for each reason", () => {
  const shape = { batch: 1, heads: 2, context: 512, headDim: 64, dtype: "f16" } as const;
  const problems: Problem[] = [
    { shape },
    { shape: { ...shape, dtype: "f32" } },
    { shape: { ...shape, headDim: 32 } },
    { shape: { ...shape, headDim: 32, heads: 1 } },
  ];
  const notes = (stack: "deno" | "dawn", subgroupMatrix: (typeof MATRIX)[]) => {
    const capabilities = { ...DESK.capabilities, subgroupMatrix };
    const cases = problems.map((problem) => ({
      problem,
      plan: dense.plan({ ...DESK, capabilities }, problem),
    }));
    return notesOnPortableKernels({ capabilities, stack }, [...cases, { problem: { shape } }]);
  };
  const line = "dense attention runs on the portable kernel in";
  assert.deepEqual(notes("dawn", [MATRIX]), [
    `${line} 1 case: storage f32 is not f16`,
    `${line} 2 cases: head dimension 32 is not one of 64, 128`,
  ]);
  assert.deepEqual(notes("dawn", []), [`${line} 4 cases: the device has no subgroup matrices`]);
  assert.deepEqual(notes("deno", []), []);
});
