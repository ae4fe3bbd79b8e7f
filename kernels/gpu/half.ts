/**
 * WGSL that rounds f32 to f16 alike on every device.
 *
 * WGSL leaves the rounding of conversions and of `pack2x16float` to the device (llvmpipe rounds
 * toward zero). These functions round to nearest even in integer arithmetic first, after which
 * packing is exact. Results below 2^-14, the subnormals of f16, keep the device's rounding.
 *
 * @module
 */

/** `fn nearestHalf(vec4f) -> vec4f`: rounded to nearest even, still f32; NaN and infinity stay. */
export const NEAREST_HALF = `
fn nearestHalf(value: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(value);
  let rounded = (bits + 0xfffu + ((bits >> vec4u(13u)) & vec4u(1u))) & vec4u(0xffffe000u);
  let finite = (bits & vec4u(0x7f800000u)) != vec4u(0x7f800000u);
  return bitcast<vec4f>(select(bits, rounded, finite));
}
`;
