/**
 * Compiles and submits the gla kernels and score maxima on Dawn's null backend, which also enforces
 * the minimum workgroup memory that WebGPU guarantees. A separate program, run by
 * `gla_dawn_test.ts`, for the reason given in `_check_on_dawn.ts`.
 *
 * @module
 */
import { openDawn } from "../../../gpu/dawn.ts";
import { openDevice } from "../../../gpu/device.ts";
import { submit, uploadGarbage } from "../../../gpu/_test_buffers.ts";
import { requireGates } from "./gla_gates.ts";
import { glaScorer } from "./gla_scorer.ts";
import { GLA_HEAD_DIMS } from "./gla_scores.ts";
import { planGeometry } from "../../lighthouse_geometry.ts";

const gpu = await openDevice({ stack: "dawn", gpu: await openDawn("backend=null") });
const lighthouse = { levels: 3, pooling: 4, k: 128, dilation: 2 } as const;
const geometry = planGeometry(2048, lighthouse);
let kernels = 0;
for (const headDim of GLA_HEAD_DIMS) {
  for (const dtype of ["f16", "f32"] as const) {
    const shape = { heads: 2, context: 2048, headDim, dtype };
    const garbage = () => uploadGarbage(gpu, 2 * 2048 * headDim * 4);
    const slices = {
      q: await garbage(),
      k: await garbage(),
      v: await garbage(),
      queryScores: await uploadGarbage(gpu, 2 * geometry.entries * 4),
      keyScores: await uploadGarbage(gpu, 2 * geometry.entries * 4),
    };
    const problem = { shape, options: lighthouse, geometry, headsPerBlock: 2 };
    const scorer = await glaScorer().pass!.create(gpu, problem, { heads: 2 });
    const dispatches = scorer.bind({ firstHead: 0, ...slices });
    await submit(gpu, dispatches);
    kernels += dispatches.length;
    scorer.destroy();
    for (const { buffer } of Object.values(slices)) buffer.destroy();
  }
}
// The null backend runs nothing, so the count that it reads back is meaningless.
await requireGates(gpu, [await uploadGarbage(gpu, 4096)]).catch((error) => {
  if (!(error instanceof RangeError)) throw error;
});
console.log(`${kernels} kernels`);
gpu.destroy();
