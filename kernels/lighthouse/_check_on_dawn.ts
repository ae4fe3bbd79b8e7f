/**
 * Compiles and submits every Lighthouse kernel on Dawn's null backend, so that Tint checks shaders,
 * layouts and bindings without a GPU. A separate program, run by `dawn_test.ts`: the native add-on
 * sometimes aborts in the worker that `deno test` runs tests in.
 *
 * @module
 */
import { openDawn } from "../gpu/dawn.ts";
import { openDevice } from "../gpu/device.ts";
import { submit, uploadGarbage } from "../gpu/_test_buffers.ts";
import { LAYERS } from "./_lighthouse_catalog.ts";
import { createGather, planGather } from "./passes/gather.ts";
import { createGatherGradient, planGatherGradient } from "./passes/gather_gradient.ts";
import { planGeometry } from "./lighthouse_geometry.ts";
import {
  createMergedPyramid,
  planMergedGather,
  planMergedPyramid,
} from "./passes/merged_passes.ts";
import { createPyramid, planPyramid } from "./passes/pyramid.ts";
import { createScatter, planScatter } from "./passes/scatter.ts";
import { createSelection, planSelection } from "./passes/select.ts";

const gpu = await openDevice({ stack: "dawn", gpu: await openDawn("backend=null") });
let kernels = 0;
for (const shape of LAYERS) {
  const geometry = planGeometry(shape.context, shape);
  for (const dtype of ["f16", "f32"] as const) {
    const size = { heads: 2, headDim: 128, dtype };
    const plans = [
      planPyramid(geometry, { ...size, scored: true }),
      planPyramid(geometry, { ...size, scored: false }),
    ] as const;
    const select = planSelection(geometry, 2);
    const gather = planGather(geometry, size);
    const scatter = planScatter(geometry, size);
    const gatherGradient = planGatherGradient(geometry, size);
    const scatterGradient = planScatter(geometry, { ...size, gradient: true });
    const garbage = (bytes: number) => uploadGarbage(gpu, bytes);
    const rows = await garbage(gather.bytes.rows);
    const pooled = await garbage(gather.bytes.pooled);
    const queryScores = await garbage(select.scoreBytes);
    const indices = await garbage(select.indexBytes);
    const slots = await garbage(select.slotBytes);
    const gathered = await garbage(gather.bytes.gathered);
    const gradients = await garbage(gatherGradient.bytes.gathered);
    const merged = {
      pyramid: planMergedPyramid(geometry, { ...size, scored: true }),
      gather: planMergedGather(geometry, size),
    };
    // It binds more buffers than this backend allows: only its shader is compiled.
    const { code } = merged.gather.pipeline;
    const { messages } = await gpu.device.createShaderModule({ code }).getCompilationInfo();
    if (messages.length > 0) throw new TypeError(messages[0].message);
    const cached = planSelection(geometry, 2, { cached: true, threads: 256 });
    const more = await Promise.all(
      [pooled, pooled, queryScores].map(({ size }) => garbage(size)),
    );
    const [pooledK, pooledV, keyScores] = more;
    const tensors = { q: rows, k: rows, v: rows, pooledQ: pooled, pooledK, pooledV };
    const dispatches = [
      ...(await createMergedPyramid(gpu, merged.pyramid)).bind({
        ...tensors,
        queryScores,
        keyScores,
      }),
      ...(await createSelection(gpu, cached)).bind({ queryScores, keyScores, indices, slots }),
      ...(await createPyramid(gpu, plans[0])).bind({ rows, pooled, scores: queryScores }),
      ...(await createPyramid(gpu, plans[1])).bind({ rows, pooled }),
      ...(await createSelection(gpu, select)).bind({
        queryScores,
        keyScores: queryScores,
        indices,
        slots,
      }),
      ...(await createGather(gpu, gather)).bind({ rows, pooled, indices, gathered }),
      ...(await createScatter(gpu, scatter)).bind({ gathered, slots, output: rows }),
      ...(await createGatherGradient(gpu, gatherGradient)).bind({
        outputGradient: rows,
        indices,
        gathered: gradients,
      }),
      ...(await createScatter(gpu, scatterGradient)).bind({
        gathered: gradients,
        slots,
        output: rows,
      }),
    ];
    await submit(gpu, dispatches);
    kernels += dispatches.length;
    const all = [rows, pooled, queryScores, indices, slots, gathered, gradients, ...more];
    for (const { buffer } of all) {
      buffer.destroy();
    }
  }
}
console.log(`${kernels} kernels`);
gpu.destroy();
