/**
 * Rounding to f16: WGSL that rounds the same way on every device, and what the device still
 * decides.
 *
 * WGSL leaves the rounding of conversions and of `pack2x16float` to the device (llvmpipe rounds
 * toward zero). These functions first round to nearest even in integer arithmetic, after which
 * packing is exact. Results below 2^-14, the subnormals of f16, keep the device's rounding.
 *
 * @module
 */

/**
 * The smallest number of a storage type that no device flushes to zero. WGSL lets a device flush
 * any smaller result. Any device may flush f32 subnormals; `subnormals.ts` tests whether it flushes
 * those of f16.
 */
export const SMALLEST_NORMAL = { f16: 2 ** -14, f32: 2 ** -126 } as const;

/** u: half a unit in the last place of 1 in f32, the relative error of one rounding. */
export const UNIT_ROUNDOFF = 2 ** -24;

/** The nearest number of 11 significant bits, ties to even: f16 with an unlimited exponent. */
export function roundToHalf(value: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const scale = 2 ** Math.floor(Math.log2(Math.abs(value)));
  return Math.f16round(value / scale) * scale;
}

/** `fn nearestHalf(vec4f) -> vec4f`: rounded to nearest even, still f32; NaN and infinity stay. */
export const NEAREST_HALF = `
fn nearestHalf(value: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(value);
  let rounded = (bits + 0xfffu + ((bits >> vec4u(13u)) & vec4u(1u))) & vec4u(0xffffe000u);
  let finite = (bits & vec4u(0x7f800000u)) != vec4u(0x7f800000u);
  return bitcast<vec4f>(select(bits, rounded, finite));
}
`;
