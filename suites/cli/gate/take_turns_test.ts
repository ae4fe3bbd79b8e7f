import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { testGpu } from "../../../kernels/gpu/_test_gpu.ts";
import { UsageError } from "../../errors.ts";
import { takeBlock, type TimedProblem } from "./take_turns.ts";

const HERE = fileURLToPath(new URL("../../..", import.meta.url));
const NAMES = { baseline: "main", candidate: "the working tree" };
const WHERE = { stack: "deno", clock: "wall", names: NAMES, quads: 2 } as const;

function problem(implementation: string): TimedProblem {
  const shape = { heads: 1, context: 256, headDim: 32, dtype: "f32" } as const;
  return { id: implementation, implementation, problem: { shape }, seed: 1, seconds: 0.01 };
}

Deno.test("takeBlock: two processes run a case and the control in turns, and say what they cannot", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  gpu.destroy();
  const checkouts = { baseline: HERE, candidate: HERE };
  const block = await takeBlock(checkouts, [problem("dense"), problem("denser")], WHERE);
  const { quads, control } = block.dense;
  assert.deepEqual([quads.length, control.length], [2, 2]);
  for (const { baseline, candidate } of [...quads, ...control]) {
    assert.equal(baseline.length, 2);
    assert.ok([...baseline, ...candidate].every((seconds) => seconds > 0 && seconds < 60));
  }
  assert.deepEqual(block.denser, {
    quads: [],
    control: [],
    reason: "main: it has no implementation denser",
  });
});

Deno.test("takeBlock: a checkout that cannot be run is one line that names it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/deno.json`, "{}");
    await assert.rejects(
      takeBlock({ baseline: folder, candidate: folder }, [problem("dense")], WHERE),
      (error) =>
        error instanceof UsageError && !/\n/.test(error.message) &&
        /^gate: the process of main ended: .*mod\.ts/.test(error.message),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
