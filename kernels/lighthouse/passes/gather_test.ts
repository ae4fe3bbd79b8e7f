import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { type DType, readBuffer } from "../../gpu/buffers.ts";
import { submit, upload, uploadGarbage } from "../../gpu/_test_buffers.ts";
import { createGather, planGather } from "./gather.ts";
import { planGeometry } from "../lighthouse_geometry.ts";
import { gatherReference } from "../lighthouse_reference.ts";

/** Values that encode their own position, exact in f16 for the sizes below. */
function numbered(count: number, options: { dtype: DType; from: number }) {
  const data = options.dtype === "f16" ? new Float16Array(count) : new Float32Array(count);
  for (let i = 0; i < count; i++) data[i] = (options.from + i * 7) % 2039;
  return data;
}

for (const dtype of ["f16", "f32"] as const) {
  for (const [headDim, rowsPerThread, threads] of [[32, 4, 256], [128, 1, 64], [64, 8, 128]]) {
    const name = `d ${headDim} ${dtype}, ${rowsPerThread} rows a thread`;
    Deno.test(`gather copies rows of every level, ${name}`, async (t) => {
      const gpu = await testGpu(t);
      if (!gpu) return;
      const heads = 2;
      const geometry = planGeometry(131 * 4, { levels: 3, pooling: 2, k: 128 });
      const plan = planGather(geometry, { heads, headDim, dtype, rowsPerThread, threads });
      const kernel = await createGather(gpu, plan);
      const rows = numbered(heads * geometry.context * headDim, { dtype, from: 1 });
      const pooled = numbered(heads * geometry.pooledEntries * headDim, { dtype, from: 500 });
      // Entries in any order, including the first and last of each level.
      const indices = Uint32Array.from(
        { length: heads * geometry.gathered },
        (_, i) => (i * 389) % geometry.entries,
      );
      indices.set([0, 523, 524, 785, 786, 916]);
      const slices = {
        rows: await upload(gpu, rows),
        pooled: await upload(gpu, pooled),
        indices: await upload(gpu, indices),
        gathered: await uploadGarbage(gpu, plan.bytes.gathered),
      };
      await submit(gpu, kernel.bind(slices));
      const bytes = await readBuffer(gpu, { ...slices.gathered, size: plan.bytes.gathered });
      const got = dtype === "f16" ? new Float16Array(bytes.buffer) : new Float32Array(bytes.buffer);
      for (let head = 0; head < heads; head++) {
        const part = <T extends Float16Array | Float32Array | Uint32Array>(data: T) =>
          data.subarray(head * data.length / heads, (head + 1) * data.length / heads);
        const want = gatherReference(part(indices), {
          rows: part(rows),
          pooled: part(pooled),
          context: geometry.context,
          headDim,
        });
        assert.deepEqual(Float64Array.from(part(got)), want);
      }
      gpu.destroy();
    });
  }
}
