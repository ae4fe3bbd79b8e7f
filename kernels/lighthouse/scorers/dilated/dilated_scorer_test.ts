import assert from "node:assert/strict";
import { denseAttentionReference } from "../../../dense_attention/dense_attention_reference.ts";
import { planSquaredNorms } from "../../../dense_attention/dense_squared_norms.ts";
import { DESK } from "../../../gpu/_desk_device.ts";
import { testGpu } from "../../../gpu/_test_gpu.ts";
import {
  createStorageBuffer,
  createTensor,
  readBuffer,
  readTensor,
  slice,
} from "../../../gpu/buffers.ts";
import { fillSeeded } from "../../../gpu/random.ts";
import { Timer } from "../../../gpu/timing.ts";
import { geometryOf, golden, readFloats, readIndices } from "../../_golden.ts";
import { dilatedScorer } from "./dilated_scorer.ts";
import { lighthouseDilated } from "../../lighthouse_attention.ts";
import { planGeometry } from "../../lighthouse_geometry.ts";
import { gatherReference, poolReference, selectReference } from "../../lighthouse_reference.ts";

for (const entry of golden.forward.filter(({ scorer }) => scorer === "dilated")) {
  Deno.test(`the dilated scorer matches golden scores and selection, ${entry.case}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const dilation = (entry as unknown as { dilation: number }).dilation;
    const geometry = geometryOf(entry);
    const shape = { heads: entry.H, context: entry.N, headDim: entry.D, dtype: "f32" } as const;
    const lighthouse = {
      levels: entry.L,
      pooling: entry.p,
      k: entry.k,
      dilation,
    } as const;
    const tensors = [];
    for (let n = 0; n < 3; n++) {
      const { heads, context: rows, headDim: dim, dtype } = shape;
      const tensor = await createTensor(gpu, { heads, rows, dim, dtype });
      await fillSeeded(gpu, tensor, entry.seed + n);
      tensors.push(tensor);
    }
    const [q, k, v] = tensors;
    const problem = { shape, options: lighthouse, geometry, headsPerBlock: shape.heads };
    const scorer = await dilatedScorer.pass!.create(gpu, problem, { heads: shape.heads });
    const scoreBytes = shape.heads * geometry.entries * 4;
    const queryScores = slice(await createStorageBuffer(gpu, scoreBytes));
    const keyScores = slice(await createStorageBuffer(gpu, scoreBytes));
    const timer = new Timer(gpu);
    const data = { q: q.blocks[0].data, k: k.blocks[0].data, v: v.blocks[0].data };
    await timer.run([{
      name: "score",
      dispatches: scorer.bind({ firstHead: 0, ...data, queryScores, keyScores }),
    }]);
    const read = async (scores: typeof queryScores) =>
      new Float32Array((await readBuffer(gpu, { ...scores, size: scoreBytes })).buffer);
    const got = [await read(queryScores), await read(keyScores)];
    const want = [readFloats(entry.files.qk.file), readFloats(entry.files.kq.file)];
    // Bounds of the norms from the float64 reference of each direction, per residue class.
    const inputs = await Promise.all(tensors.map((tensor) => readTensor(gpu, tensor)));
    const bounds = [
      normBounds([inputs[0], inputs[1], inputs[2]], { ...entry, dilation }),
      normBounds([inputs[1], inputs[0], inputs[2]], { ...entry, dilation }),
    ];
    for (const direction of [0, 1]) {
      for (let head = 0; head < entry.H; head++) {
        for (let j = 0; j < entry.N; j++) {
          const at = head * geometry.entries + j;
          const found = Math.sqrt(got[direction][at]);
          const bound = bounds[direction][head * entry.N + j] + 2 ** -22 * want[direction][at];
          assert.ok(
            Math.abs(found - want[direction][at]) <= bound,
            `direction ${direction}, row ${j}: ${found} against ${want[direction][at]} ± ${bound}`,
          );
        }
      }
    }
    // Selection: exact for these scores; recall of the golden one, whose scores round differently.
    const layer = await lighthouseDilated.prepare(gpu, { shape, options: lighthouse }, {
      inputs: { q, k, v },
    });
    await layer.execute();
    const selection = await layer.outputs.readSelection!();
    const published = readIndices(entry.files.idx.file);
    for (let head = 0; head < entry.H; head++) {
      const scores = got.map((all) =>
        all.subarray(head * geometry.entries, (head + 1) * geometry.entries)
      );
      const part = (all: Int32Array) => all.subarray(head * entry.S, (head + 1) * entry.S);
      assert.deepEqual(part(selection), selectReference(scores[0], scores[1], geometry));
      const chosen = new Set(part(selection));
      const recall = part(published).filter((index) => chosen.has(index)).length / entry.S;
      assert.equal(recall, 1, `recall of the published selection, head ${head}`);
    }
    const output = await readTensor(gpu, layer.outputs.output);
    const publishedOutput = readFloats(entry.files.out.file);
    const error = publishedOutput.reduce(
      (most, x, i) => Math.max(most, Math.abs(x - output[i])),
      0,
    );
    const bound = outputBound(inputs, { ...entry, geometry, selection });
    assert.ok(error <= bound, `output error ${error} exceeds ${bound}`);
    layer.destroy();
    timer.destroy();
    scorer.destroy();
    gpu.destroy();
  });
}

/** At most L rows of attention over gathered rows are added, each with its own tolerance. */
function outputBound(
  inputs: (Float32Array | Float16Array)[],
  { H, N, D, S, geometry, selection }: {
    H: number;
    N: number;
    D: number;
    S: number;
    geometry: ReturnType<typeof geometryOf>;
    selection: Int32Array;
  },
): number {
  let most = 0;
  for (let head = 0; head < H; head++) {
    const [q, k, v] = inputs.map((data) => {
      const rows = data.subarray(head * N * D, (head + 1) * N * D);
      return gatherReference(selection.subarray(head * S, (head + 1) * S), {
        rows,
        pooled: poolReference(rows, geometry, D),
        context: N,
        headDim: D,
      });
    });
    const { tolerance } = denseAttentionReference({ q, k, v, headDim: D });
    most = tolerance.reduce((a, b) => Math.max(a, b), most);
  }
  return geometry.levels * most;
}

/** How far f32 attention may move the norm of each row: the norm of the row's tolerance. */
function normBounds(
  [q, k, v]: (Float32Array | Float16Array)[],
  { H, N, D, dilation }: { H: number; N: number; D: number; dilation: number },
): Float64Array {
  const bounds = new Float64Array(H * N);
  for (let head = 0; head < H; head++) {
    for (let residue = 0; residue < dilation; residue++) {
      const part = (data: Float32Array | Float16Array) =>
        Float64Array.from({ length: N / dilation * D }, (_, i) => {
          const row = Math.floor(i / D) * dilation + residue;
          return data[(head * N + row) * D + i % D];
        });
      const { tolerance } = denseAttentionReference({
        q: part(q),
        k: part(k),
        v: part(v),
        headDim: D,
      });
      for (let n = 0; n < N / dilation; n++) {
        bounds[head * N + n * dilation + residue] = Math.hypot(
          ...tolerance.subarray(n * D, (n + 1) * D),
        );
      }
    }
  }
  return bounds;
}

Deno.test("the dilated scorer costs what the specification says and refuses a bad dilation", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 2, context: 2048, headDim: 64, dtype: "f16" } as const;
  const lighthouse = { levels: 3, pooling: 4, k: 128, dilation: 4 } as const;
  const { stages } = lighthouseDilated.plan(gpu, { shape, options: lighthouse });
  const score = stages.find(({ name }) => name === "score")!;
  assert.equal(score.flops, 4 * 2048 ** 2 * 64 * 2 / 4);
  // Without a dilation, the paper's is used.
  const unnamed = { ...lighthouse, dilation: undefined };
  assert.deepEqual(lighthouseDilated.plan(gpu, { shape, options: unnamed }).stages, stages);
  assert.throws(
    () => lighthouseDilated.plan(gpu, { shape, options: { ...lighthouse, dilation: 3 } }),
    /dilation 3 does not divide context 2048/,
  );
  assert.equal(planGeometry(2048, lighthouse).gathered, 1152);
  gpu.destroy();
});

Deno.test("the plan names the kernel variant for a block of heads", () => {
  const config = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
  const capabilities = {
    ...DESK.capabilities,
    subgroupMatrix: [config],
    maxBindingBytes: 2 ** 22,
  };
  const gpu = { ...DESK, capabilities };
  const shape = { heads: 8, context: 8192, headDim: 64, dtype: "f16" } as const;
  const lighthouse = { levels: 3, pooling: 4, k: 128, dilation: 4 } as const;
  const { stages, headsPerBlock } = lighthouseDilated.plan(gpu, { shape, options: lighthouse });
  const variantOf = (heads: number) =>
    planSquaredNorms(gpu, { ...shape, heads, rows: shape.context, dilation: 4 }).launch.variant;
  assert.equal(stages.find(({ name }) => name === "score")!.variant, variantOf(headsPerBlock));
  assert.notEqual(variantOf(headsPerBlock), variantOf(shape.heads));
});
