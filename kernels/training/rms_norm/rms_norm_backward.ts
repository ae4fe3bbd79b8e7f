/**
 * The gradient of RMSNorm, added to that of the residual stream.
 *
 * Shapes: x, dy and dx f32 `[rows, columns]`, r f32 `[rows]` from the forward pass, dg f32
 * `[columns]` (added to). dx holds the gradient that passes by the norm and gets the norm's own; a
 * copy of the sum is written in the type that products read. Where the plan wants it y is made
 * again, to the bits of the forward pass: the gradient of the weights that read y needs it, and x
 * has been read here anyway.
 *
 * Numerics: f32, sums in one fixed order: of rows as in the forward pass, of dg over the rows of a
 * workgroup and then over workgroups.
 *
 * @module
 */
import code from "./rms_norm_backward.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type Dispatch } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import { createSumPartials, planSumPartials } from "../sum_partials/sum_partials.ts";
import { normConstants, requireNorm, type RmsNormOptions } from "./rms_norm.ts";

const PARAMS = { rows: "u32", rowsPerGroup: "u32" } as const;

/** What to plan for. */
export interface RmsNormBackwardOptions extends RmsNormOptions {
  /** False: dx held nothing before, as at the end of the stream. Default true. */
  readonly adds?: boolean;
  /** Whether y is written again. Default false. */
  readonly remakes?: boolean;
}

/** Workgroups at most: each leaves a part of dg. */
const MOST_GROUPS = 1024;

/** Buffers of the pass over rows. */
interface RowBindings {
  /** f32 `[rows, columns]`. */
  readonly x: BufferSlice;
  /** f32 `[columns]`. */
  readonly gain: BufferSlice;
  /** f32 `[rows]`: r. */
  readonly inverse: BufferSlice;
  /** dy, f32 `[rows, columns]`. */
  readonly gradient: BufferSlice;
  /** dx, f32 `[rows, columns]`, added to. */
  readonly stream: BufferSlice;
  /** dx in storage, `[rows, columns]`, written. */
  readonly copy: BufferSlice;
  /** f32 `[groups, columns]`, scratch. */
  readonly partials: BufferSlice;
  /** `[rows, columns]`, written, where the plan makes it again. */
  readonly y?: BufferSlice;
}

/** Buffers of the gradient. */
export interface RmsNormBackwardBindings extends RowBindings {
  /** dg, f32 `[columns]`, added to. */
  readonly gainGradient: BufferSlice;
}

type RowPlan = PassPlan<RowBindings, typeof PARAMS>;

/** Bindings after the partial sums, and what is done with y. */
function yCode(remakes: boolean): string[] {
  return remakes
    ? [
      "@group(0) @binding(7) var<storage, read_write> y: array<Quad>; // [rows, columns]",
      "@group(0) @binding(8) var<uniform> params: Params;",
      "fn storeY(at: u32, quad: vec4f) { y[at] = packQuad(quad); }",
    ]
    : [
      "@group(0) @binding(7) var<uniform> params: Params;",
      "fn storeY(at: u32, quad: vec4f) {}",
    ];
}

/** The plan of the gradient: a pass over rows, and the sum of what its workgroups found. */
export interface RmsNormBackwardPlan {
  readonly rows: RowPlan;
  readonly sum: ReturnType<typeof planSumPartials>;
  /** Bytes of the scratch `partials`. */
  readonly partialBytes: number;
}

/** Plans the gradient. */
export function planRmsNormBackward(options: RmsNormBackwardOptions): RmsNormBackwardPlan {
  requireNorm("plan norm backward", options);
  const { rows, columns, dtype, adds = true, remakes = false } = options;
  const rowsPerGroup = Math.ceil(rows / Math.min(rows, MOST_GROUPS));
  const groups = Math.ceil(rows / rowsPerGroup);
  const partialBytes = groups * columns * 4;
  const bytes = {
    x: rows * columns * 4,
    gain: columns * 4,
    inverse: rows * 4,
    gradient: rows * columns * 4,
    stream: rows * columns * 4,
    copy: rows * columns * bytesPerElement(dtype),
    partials: partialBytes,
  };
  const written = Array<"read-write">(remakes ? 4 : 3).fill("read-write");
  return {
    partialBytes,
    sum: planSumPartials({ count: groups, size: columns }),
    rows: {
      pipeline: {
        label: `rms norm backward ${dtype}`,
        bindings: ["read", "read", "read", "read", ...written, "uniform"],
        code: [code, normConstants(options), `const adds = ${adds};`, ...yCode(remakes), ""].join(
          "\n",
        ),
      },
      layout: PARAMS,
      params: { rows, rowsPerGroup },
      workgroups: [groups, 1, 1],
      bytes: remakes ? { ...bytes, y: bytes.copy } : bytes as RowPlan["bytes"],
    },
  };
}

/** A compiled gradient. */
export interface RmsNormBackward {
  readonly bind: (buffers: RmsNormBackwardBindings) => Dispatch[];
  readonly destroy: () => void;
}

/** Compiles the gradient. */
export async function createRmsNormBackward(
  gpu: Gpu,
  plan: RmsNormBackwardPlan,
): Promise<RmsNormBackward> {
  const rows = await createPass<RowBindings>(gpu, plan.rows);
  const sum = await createSumPartials(gpu, plan.sum);
  return {
    bind: (buffers) => [
      ...rows.bind(buffers),
      ...sum.bind({ partials: buffers.partials, result: buffers.gainGradient }),
    ],
    destroy: () => {
      rows.destroy();
      sum.destroy();
    },
  };
}
