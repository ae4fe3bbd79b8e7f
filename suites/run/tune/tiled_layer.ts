/**
 * A kernel of dense attention with its buffers, which runs with any of its tilings.
 *
 * @module
 */
import {
  createDenseAttention,
  planDenseAttention,
} from "../../../kernels/dense_attention/dense_attention.ts";
import {
  createDenseBackward,
  planDenseBackward,
} from "../../../kernels/dense_attention/dense_attention_backward.ts";
import { dense } from "../../../kernels/dense_attention/dense_layer.ts";
import {
  createMatrixScratch,
  hasRoom,
  type MatrixBackwardScratch,
} from "../../../kernels/dense_attention/matrix/dense_matrix_backward.ts";
import { withTuning } from "../../../kernels/dense_attention/tuning.ts";
import type { DenseKernel } from "../../../kernels/dense_attention/types.ts";
import {
  createTensor,
  type Dispatch,
  type Tensor,
  type TensorShape,
} from "../../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { fillSeeded } from "../../../kernels/gpu/random.ts";
import type { LayerInputs } from "../../../kernels/implementation.ts";
import { checkOutputs, digestOutputs, failureOf, withDeterminism } from "../../check/check.ts";
import { DISPATCH_SECONDS } from "../../plan/durations.ts";
import type { Layer } from "../../plan/measurable.ts";
import type { Key, Session } from "./session.ts";

/** A kernel bound to its buffers. */
export interface Bound {
  readonly dispatches: readonly Dispatch[];
  readonly flops: number;
  /** Executions in a sample. */
  repeats: number;
}

/** Buffers of a kernel at one length, and what any of its tilings can do with them. */
export interface TiledLayer {
  readonly heads: number;
  readonly bind: (tiling: object) => Promise<Bound>;
  /** Compiles everything that a check of the tiling runs. */
  readonly compile: (tiling: object) => Promise<unknown>;
  /** Runs the layer with the tiling and returns what is wrong with its results, if anything. */
  readonly check: (tiling: object) => Promise<string | undefined>;
  readonly destroy: () => void;
}

/**
 * Allocates seeded inputs and results of one block of heads; for gradients, runs the earlier
 * passes.
 */
export async function allocate(
  session: Session,
  key: Key,
  options: { flopsPerSecond?: number } = {},
): Promise<TiledLayer> {
  const { gpu, seed, timer, hooks: { signal } } = session;
  const { kernel, pass, rows, headDim, dtype, heads } = key;
  const { flopsPerSecond } = options;
  const owned: { destroy: () => void }[] = [];
  const destroy = () => owned.splice(0).reverse().forEach((thing) => thing.destroy());
  const own = <T extends { destroy: () => void }>(thing: T): T => {
    owned.push(thing);
    return thing;
  };
  const tensor = async (label: string, shape: Partial<TensorShape> = {}) =>
    own(await createTensor(gpu, { heads, rows, dim: headDim, dtype, ...shape }, { label }));
  const seeded = async (label: string, offset: number) => {
    const filled = await tensor(label);
    await fillSeeded(gpu, filled, seed + offset);
    return filled;
  };
  const statistic = { dim: 1, dtype: "f32" } as const;
  const size = {
    heads,
    rows,
    headDim,
    dtype,
    flopsPerDispatch: flopsPerSecond && flopsPerSecond * DISPATCH_SECONDS,
  };
  const tuned = (tiling: object, passes = [pass]) =>
    withTuning(gpu, passes.map((pass) => ({ ...key, pass, tiling: { ...tiling } })));
  const data = ({ blocks }: Tensor) => blocks[0].data;
  const run = (dispatches: readonly Dispatch[]) =>
    timer.run([{ name: pass, dispatches }], { flopsPerSecond, signal });
  try {
    const inputs = {
      q: await seeded("queries", 0),
      k: await seeded("keys", 1),
      v: await seeded("values", 2),
    };
    const output = await tensor("output");
    const lse = await tensor("log-sum-exp", statistic);
    const shared = { q: data(inputs.q), k: data(inputs.k), v: data(inputs.v), lse: data(lse) };
    const forward = async (device: Gpu, asked?: DenseKernel) => {
      const plan = planDenseAttention(device, { ...size, kernel: asked });
      return own(await createDenseAttention(device, plan)).bind({ ...shared, o: data(output) });
    };
    const check = async (
      parts: { layer: Pick<Layer, "outputs">; inputs: LayerInputs; dispatches: Dispatch[] },
    ) => {
      const layer = {
        ...parts.layer,
        stages: [pass],
        execute: () => run(parts.dispatches),
        destroy,
      };
      await layer.execute();
      const first = await digestOutputs(gpu, layer);
      await layer.execute();
      const { gradients } = layer.outputs;
      const direction = gradients ? "forward-backward" as const : "forward" as const;
      const shape = { heads, context: rows, headDim, dtype };
      const found = await checkOutputs(gpu, layer, {
        problem: { shape, direction },
        implementation: dense,
        inputs: parts.inputs,
        seed,
        extent: "whole",
        kernel: gradients && kernel,
        signal,
      });
      return failureOf(withDeterminism(found.check, { first, last: found.digest }));
    };
    const bound = (dispatches: readonly Dispatch[]): Bound => ({
      dispatches,
      flops: dispatches.reduce((sum, { flops }) => sum + flops, 0),
      repeats: 1,
    });
    if (pass === "forward") {
      return {
        heads,
        bind: async (tiling) => bound(await forward(tuned(tiling), kernel)),
        compile: (tiling) => forward(tuned(tiling), kernel),
        check: async (tiling) =>
          await check({
            layer: { outputs: { output, lse } },
            inputs,
            dispatches: await forward(tuned(tiling), kernel),
          }),
        destroy,
      };
    }
    const outputGradient = await seeded("output gradient", 3);
    const delta = await tensor("delta", statistic);
    const gradients = {
      q: await tensor("q gradient"),
      k: await tensor("k gradient"),
      v: await tensor("v gradient"),
    };
    let scratch: MatrixBackwardScratch | undefined;
    const backward = async (device: Gpu) => {
      const plan = planDenseBackward(device, { ...size, kernel });
      // One scratch for all tilings that fit it: they run one after the other.
      if (plan.schedule && (!scratch || !hasRoom(scratch, plan.schedule))) {
        scratch = own(await createMatrixScratch(gpu, plan.schedule));
      }
      const compiled = own(await createDenseBackward(device, plan, { scratch }));
      const buffers = {
        ...shared,
        o: data(output),
        outputGradient: data(outputGradient),
        delta: data(delta),
        queryGradient: data(gradients.q),
        keyGradient: data(gradients.k),
        valueGradient: data(gradients.v),
      };
      return {
        all: () => compiled.bind(buffers),
        passes: () => compiled.bindPasses(buffers),
      };
    };
    // Both passes are checked at once.
    const both = (tiling: object) => backward(tuned(tiling, ["query", "key-value"]));
    const outputs = await forward(gpu);
    // Each pass reads the results of the earlier ones.
    await run([...outputs, ...(await backward(gpu)).all()]);
    return {
      heads,
      bind: async (tiling) => {
        const { query, keyValue } = (await backward(tuned(tiling))).passes();
        return bound(pass === "query" ? query : keyValue);
      },
      compile: both,
      check: async (tiling) => {
        const { all } = await both(tiling);
        return await check({
          layer: { outputs: { output, lse, gradients } },
          inputs: { ...inputs, outputGradient },
          dispatches: [...outputs, ...all()],
        });
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}
