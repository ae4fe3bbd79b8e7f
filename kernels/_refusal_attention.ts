/**
 * Bad arguments of the one-call attention functions.
 *
 * @module
 */
import * as kernels from "./mod.ts";
import {
  BAD_LIGHTHOUSE,
  badElements,
  type Entry,
  type Given,
  GOOD_LIGHTHOUSE,
  NO_COUNT,
  NO_DTYPE,
  NO_QUANTITY,
  NO_WORD,
  type Shape,
  type World,
} from "./_refusal_world.ts";

export async function attentionEntries(world: World, shape: Shape): Promise<Entry[]> {
  const { gpu } = world;
  const numbers = ({ heads, rows, dim, dtype }: Shape) => {
    const data = Array.from({ length: heads * rows * dim }, (_, i) => Math.sin(i));
    return dtype === "f16" ? Float16Array.from(data) : Float32Array.from(data);
  };
  const wide = { heads: 1, rows: 256, dim: 32, dtype: shape.dtype };
  const entry = (name: "denseAttention" | "lighthouseAttention", of: Shape, more: Given): Entry => {
    const count = of.heads * of.rows * of.dim;
    const mixed = numbers({ ...of, dtype: of.dtype === "f16" ? "f32" : "f16" });
    const elements = [...badElements(count), mixed];
    const data = numbers(of);
    const inputs = { q: data, k: data, v: data, outputGradient: data };
    return {
      name,
      good: { ...inputs, heads: of.heads, headDim: of.dim, ...more },
      bad: {
        q: [...elements, undefined],
        k: [...elements, undefined],
        v: [...elements, undefined],
        outputGradient: elements,
        heads: NO_COUNT.filter((value) => value !== null),
        headDim: [...NO_COUNT.filter((value) => value !== null), 24],
        dtype: NO_DTYPE.filter((value) => value !== null),
        flopsPerSecond: NO_QUANTITY,
        ...name === "lighthouseAttention" && {
          ...BAD_LIGHTHOUSE,
          scorer: NO_WORD,
          gates: badElements(of.heads * of.rows),
          dilation: [...NO_COUNT, 3].filter((value) => value !== null),
        },
      },
      call: ({ q, k, v, outputGradient, budget, ...options }) =>
        name === "denseAttention"
          ? kernels.denseAttention(gpu, { q, k, v, outputGradient }, options)
          : kernels.lighthouseAttention(
            gpu,
            { q, k, v, outputGradient },
            { ...options, k: budget },
          ),
    };
  };
  const tensors = async (of: Shape) => ({
    q: await world.tensor(of),
    k: await world.tensor(of),
    v: await world.tensor(of),
    outputGradient: await world.tensor(of),
  });
  const bad = await world.badTensors(shape);
  return [
    entry("denseAttention", shape, {}),
    entry("lighthouseAttention", wide, { ...GOOD_LIGHTHOUSE, scorer: "gla" }),
    {
      name: "denseAttention",
      good: await tensors(shape),
      bad: { q: bad, k: bad, v: bad, outputGradient: bad },
      call: (inputs) => kernels.denseAttention(gpu, inputs as kernels.AttentionGradientInputs),
    },
  ];
}
