/**
 * Causal block-local attention as an implementation: the kernel's host code and its descriptor.
 *
 * Shapes: Q, K, V and the output `[heads, context, headDim]`. Row n attends to the keys of its
 * block of b rows up to itself, so a row costs at most 4·b·d FLOP.
 *
 * @module
 */
import {
  bindDispatch,
  bytesPerElement,
  createParams,
  createPipeline,
  createTensor,
  type Gpu,
  headsPerBlock,
  type Implementation,
  type ImplementationPlan,
  type Problem,
  requireOptions,
  slice,
  Timer,
} from "../../kernels/mod.ts";
import code from "./block_local.wgsl" with { type: "text" };

/** Fields of the shader's `Params`, in order. */
const PARAMS = { rows: "u32", block: "u32", scale: "f32" } as const;

/** The only option; everything from the flag to the label is derived from it. */
const OPTIONS: Implementation["options"] = [{
  name: "block",
  letter: "b",
  flag: "block",
  least: 1,
  initial: 256,
  help: "rows of a block",
  sweep: "Block length",
}];

/** The layer. */
export const blockLocal: Implementation = {
  name: "block-local",
  title: "causal block-local attention",
  family: "local",
  directions: ["forward"],
  options: OPTIONS,
  style: { color: { light: "#4f6d00", dark: "#a8c94f" }, mark: "star" },
  // Checks use this: from the first row of the row's own block up to the row itself.
  visible: (row, { options }) => [{ first: row - row % options!.block!, end: row + 1 }],
  plan,
  async prepare(gpu, problem, { inputs }) {
    const { heads, context, headDim, dtype } = problem.shape;
    const half = dtype === "f16";
    const pipeline = await createPipeline(gpu, {
      label: `block-local attention d=${headDim} ${dtype}`,
      code: `${half ? "enable f16;\n" : ""}alias element = vec4<${dtype}>;\nconst QUADS = ${
        headDim / 4
      }u;\n${code}`,
      bindings: ["uniform", "read", "read", "read", "read-write", "read-write"],
    });
    const labelled = { headsPerBlock: inputs.q.blocks[0].heads };
    const size = { heads, rows: context, dtype };
    const output = await createTensor(gpu, { ...size, dim: headDim }, labelled);
    const lse = await createTensor(gpu, { ...size, dim: 1, dtype: "f32" }, labelled);
    const uniform = createParams(gpu, PARAMS, {
      rows: context,
      block: problem.options!.block!,
      scale: 1 / Math.sqrt(headDim),
    });
    const dispatches = inputs.q.blocks.map((block, b) =>
      bindDispatch(gpu, pipeline, {
        slices: [
          slice(uniform),
          ...[inputs.q, inputs.k, inputs.v, output, lse].map((tensor) => tensor.blocks[b].data),
        ],
        workgroups: [Math.ceil(context / 64), block.heads, 1],
      })
    );
    const timer = new Timer(gpu);
    return {
      plan: plan(gpu, problem),
      stages: ["attention"],
      execute: (run) => timer.run([{ name: "attention", dispatches }], run),
      outputs: { output, lse },
      destroy: () => [output, lse, uniform, timer].forEach((thing) => thing.destroy()),
    };
  },
};

/** The cost of a layer, before anything is allocated. */
function plan(gpu: Pick<Gpu, "capabilities">, problem: Problem): ImplementationPlan {
  const { heads, context, headDim, dtype } = problem.shape;
  const { options = {} } = problem;
  requireOptions(OPTIONS, options, "plan block-local");
  const { block } = options as { block: number };
  const whole = Math.floor(context / block);
  const rest = context % block;
  const pairs = whole * block * (block + 1) / 2 + rest * (rest + 1) / 2;
  const tensor = heads * context * headDim * bytesPerElement(dtype);
  const buffers = [
    ...["q", "k", "v", "output"].map((name) => ({ name, bytes: tensor })),
    { name: "log-sum-exp", bytes: heads * context * 4 },
  ];
  const bytes = buffers.reduce((sum, one) => sum + one.bytes, 0);
  const flops = 4 * heads * pairs * headDim;
  return {
    stages: [{ name: "attention", flops, bytes }],
    flops,
    bytes,
    buffers,
    peakBytes: bytes,
    headsPerBlock: headsPerBlock(gpu, [{ heads, rows: context, dim: headDim, dtype }]),
  };
}
