/**
 * Finds the tilings that fit a device, and the measured fastest of them.
 *
 * `deno task tune` measures all declared tilings that fit a device. Its results are part of the
 * device's capabilities, so that every plan of dense attention uses them, alone or inside
 * Lighthouse. A measured tiling that is unknown, undeclared or does not fit is ignored.
 *
 * @module
 */
import type { Capabilities, Gpu, TunedTiling } from "../gpu/device.ts";
import { show } from "../gpu/require.ts";
import { matrixFits, whyNoMatrixUnits } from "./matrix/dense_matrix.ts";
import { layOut } from "./portable/tile_layout.ts";
import {
  MATRIX_BACKWARD_TILINGS,
  MATRIX_TILINGS,
  type MatrixBackwardTiling,
  type MatrixTiling,
  PORTABLE_BACKWARD_TILINGS,
  PORTABLE_TILINGS,
  sameTiling,
  type Tiling,
  tilingName,
} from "./tilings.ts";
import { showBytes } from "../gpu/bytes.ts";

type Kernel = TunedTiling["kernel"];
type Pass = TunedTiling["pass"];

interface Tilings {
  portable: Record<Pass, Tiling>;
  matrix: { forward: MatrixTiling; query: MatrixBackwardTiling; "key-value": MatrixBackwardTiling };
}

/** A tiling of one of the kernels. */
export type TilingOf<K extends Kernel = Kernel, P extends Pass = Pass> = Tilings[K][P];

const DECLARED: { [K in Kernel]: Record<Pass, readonly TilingOf<K>[]> } = {
  portable: {
    forward: PORTABLE_TILINGS,
    query: PORTABLE_BACKWARD_TILINGS,
    "key-value": PORTABLE_BACKWARD_TILINGS,
  },
  matrix: {
    forward: MATRIX_TILINGS,
    ...MATRIX_BACKWARD_TILINGS,
  },
};

/** A kernel at one head dimension. */
export interface TiledKernel<K extends Kernel = Kernel, P extends Pass = Pass> {
  /** The variant. */
  readonly kernel: K;
  /** The pass. */
  readonly pass: P;
  /** d. */
  readonly headDim: number;
}

/** The declared tilings of a kernel that fit a device and divide the head dimension evenly. */
export function tilingSpace<K extends Kernel, P extends Pass>(
  capabilities: Capabilities,
  { kernel, pass, headDim }: TiledKernel<K, P>,
): readonly TilingOf<K, P>[] {
  const fits = (tiling: TilingOf) =>
    "threadsX" in tiling
      ? portableFits(capabilities, tiling, headDim)
      : matrixFits(capabilities, { pass, tiling, headDim } as Parameters<typeof matrixFits>[1]);
  const all: readonly TilingOf[] = DECLARED[kernel][pass];
  return all.filter(fits) as TilingOf<K, P>[];
}

function portableFits(
  { maxWorkgroupBytes, maxInvocations }: Capabilities,
  tiling: Tiling,
  headDim: number,
): boolean {
  try {
    const { workgroupBytes, threads } = layOut(tiling, headDim);
    return workgroupBytes <= maxWorkgroupBytes && threads <= maxInvocations;
  } catch (error) {
    if (error instanceof RangeError) return false; // does not divide evenly
    throw error;
  }
}

/**
 * Maximum ratio between a shape and the measured shape whose tiling it uses, as a power of two. The
 * fastest tiling at 8 × 2,048, where a device has too few workgroups, ran at half the best speed at
 * 8 × 65,536 on an H100.
 */
const FARTHEST = 3;

/**
 * The fastest measured tiling for a number of queries (heads times rows), which determines the
 * number of workgroups. It is the tiling of the measured number that is nearest by ratio; among
 * equals, of the nearest length. Undefined if nothing was measured within a factor of eight in
 * queries and in length, or if that tiling does not fit this device.
 */
export function tunedTiling<K extends Kernel, P extends Pass>(
  capabilities: Capabilities,
  wanted: TiledKernel<K, P> & Pick<TunedTiling, "dtype" | "rows"> & { readonly heads: number },
): TilingOf<K, P> | undefined {
  const { kernel, pass, headDim, dtype, rows, heads } = wanted;
  const longer = (entry: TunedTiling) => Math.abs(Math.log2(entry.rows / rows));
  const more = (entry: TunedTiling) =>
    Math.abs(Math.log2(entry.rows * (entry.heads ?? heads) / (rows * heads)));
  const [nearest] =
    capabilities.tuning?.filter((entry) =>
      entry.kernel === kernel && entry.pass === pass && entry.headDim === headDim &&
      entry.dtype === dtype && more(entry) <= FARTHEST && longer(entry) <= FARTHEST
    ).toSorted((a, b) => more(a) - more(b) || longer(a) - longer(b)) ?? [];
  return nearest &&
    tilingSpace(capabilities, wanted).find((tiling) => sameTiling(tiling, nearest.tiling));
}

/** Why a plan on this device ignores a measured tiling; undefined if it can use it. */
export function whyNotTuned(
  capabilities: Capabilities,
  entry: TunedTiling,
): string | undefined {
  const { kernel, pass, headDim, tiling } = entry;
  const name = tilingName(tiling);
  if (!DECLARED[kernel][pass].some((known) => sameTiling(known, tiling))) {
    return `${name} is not one of the kernel's tilings`;
  }
  const missing = kernel === "matrix" ? whyNoMatrixUnits(capabilities) : undefined;
  if (missing) return missing;
  const { maxWorkgroupBytes, maxInvocations } = capabilities;
  return tilingSpace(capabilities, entry).some((known) => sameTiling(known, tiling))
    ? undefined
    : `${name} does not fit head dimension ${headDim}, ${showBytes(maxWorkgroupBytes)} of ` +
      `workgroup memory and ${maxInvocations} threads`;
}

/**
 * The same device with measured tilings, which its plans prefer to their own choice.
 *
 * @throws {TypeError} when the tilings are not an array.
 *
 * @example
 * ```ts
 * import { DESK } from "../gpu/_desk_device.ts";
 * import { planDenseAttention } from "./dense_attention.ts";
 * import { PORTABLE_TILINGS } from "./tilings.ts";
 * import { withTuning } from "./tuning.ts";
 * import assert from "node:assert/strict";
 *
 * const measured = { kernel: "portable", pass: "forward", headDim: 64, dtype: "f16" } as const;
 * const tuned = withTuning(DESK, [{ ...measured, rows: 4096, tiling: { ...PORTABLE_TILINGS[1] } }]);
 * const plan = planDenseAttention(tuned, { heads: 1, rows: 5000, headDim: 64, dtype: "f16" });
 * assert.equal(plan.variant, "portable 128/64/16/16/16");
 * ```
 */
export function withTuning<T extends Pick<Gpu, "capabilities">>(
  gpu: T,
  tuning: readonly TunedTiling[],
): T {
  if (!Array.isArray(tuning)) {
    throw new TypeError(`apply tuning: ${show(tuning)} is not an array of tilings`);
  }
  return { ...gpu, capabilities: { ...gpu.capabilities, tuning } };
}
