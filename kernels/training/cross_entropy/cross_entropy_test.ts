import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { assertClose, download, run, seeded, upload } from "../_device_run.ts";
import { initialState, packState } from "../optimizer/step_state.ts";
import { createCrossEntropy, crossEntropyBytes, planCrossEntropy } from "./cross_entropy.ts";
import { crossEntropyReference } from "./cross_entropy_reference.ts";

Deno.test("cross-entropy, by hand: equal logits, and a certain target", () => {
  const equal = crossEntropyReference([1, 1, 1, 1], [2]);
  assert.ok(Math.abs(equal.losses.values[0] - Math.log(4)) < 1e-15);
  for (const [i, want] of [0.25, 0.25, -0.75, 0.25].entries()) {
    assert.ok(Math.abs(equal.gradient.values[i] - want) < 1e-15);
  }
  const certain = crossEntropyReference([1000, 0], [0], { scale: 8 });
  assert.deepEqual([...certain.losses.values, ...certain.gradient.values], [0, 0, 0]);
});

Deno.test("plans of cross-entropy: bytes by hand, refusals in one line", () => {
  const size = { rows: 10, vocabulary: 256, dtype: "f16" } as const;
  assert.equal(crossEntropyBytes(size), 10 * (256 * 6 + 8));
  assert.equal(planCrossEntropy({ ...size, firstRow: 30 }).bytes.losses, 160);
  assert.throws(() => planCrossEntropy({ ...size, vocabulary: 100 }), {
    message: "plan cross-entropy: vocabulary 100 is not a multiple of 8",
  });
  assert.throws(
    () => planCrossEntropy({ ...size, rows: 2 ** 25 }),
    /rows \* vocabulary 8589934592/,
  );
});

Deno.test("cross-entropy matches float64: short and long rows, chunks, extreme logits", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (
    const [rows, vocabulary, dtype, size, firstRow] of [
      [37, 256, "f16", 3, 0],
      [5, 8, "f32", 1, 0],
      [19, 72, "f32", 100, 7],
      [3, 12800, "f16", 3, 4],
    ] as const
  ) {
    await t.step(`${rows} × ${vocabulary} ${dtype} × ${size} from row ${firstRow}`, async () => {
      const scale = 1024;
      const logits = seeded(1, rows * vocabulary, { size });
      const all = Uint32Array.from({ length: firstRow + rows }, (_, i) => (i * 7919) % vocabulary);
      const buffers = {
        logits: await upload(gpu, logits),
        targets: await upload(gpu, all, "u32"),
        state: await upload(gpu, packState(initialState(scale)), "u32"),
        losses: await upload(gpu, new Float32Array(firstRow + rows)),
        gradient: await upload(gpu, new Float32Array(rows * vocabulary), dtype),
      };
      const plan = planCrossEntropy({ rows, firstRow, vocabulary, dtype });
      const pass = await createCrossEntropy(gpu, plan);
      await run(gpu, pass.bind(buffers));
      const want = crossEntropyReference(logits, all.subarray(firstRow), { scale, dtype });
      const losses = await download(gpu, buffers.losses, { count: firstRow + rows });
      assertClose(losses.subarray(firstRow), want.losses, "losses");
      assert.ok(losses.subarray(0, firstRow).every((loss) => loss === 0));
      const count = rows * vocabulary;
      assertClose(
        await download(gpu, buffers.gradient, { count, dtype }),
        want.gradient,
        "gradient",
      );
      pass.destroy();
    });
  }
  gpu.destroy();
});
