/**
 * Four adjacent elements of a row, the unit in which the training kernels read and write: WGSL for
 * either storage type, so that one kernel serves both.
 *
 * f16 needs only core WGSL, so that f16 storage works without `shader-f16`; packing rounds to
 * nearest even on every device (`gpu/half.ts`).
 *
 * @module
 */
import type { DType } from "../gpu/buffers.ts";
import { NEAREST_HALF } from "../gpu/half.ts";

/**
 * `alias Quad`, `unpackQuad`, `packQuad` and `roundQuad` (what is stored, as f32) of a storage
 * type.
 */
export function quadCode(dtype: DType): string {
  if (dtype === "f32") {
    return `
alias Quad = vec4f;
fn unpackQuad(quad: Quad) -> vec4f { return quad; }
fn packQuad(value: vec4f) -> Quad { return value; }
fn roundQuad(value: vec4f) -> vec4f { return value; }
`;
  }
  return `${NEAREST_HALF}
alias Quad = vec2u;
fn unpackQuad(quad: Quad) -> vec4f {
  return vec4f(unpack2x16float(quad.x), unpack2x16float(quad.y));
}
fn packQuad(value: vec4f) -> Quad {
  let x = nearestHalf(value);
  return vec2u(pack2x16float(x.xy), pack2x16float(x.zw));
}
fn roundQuad(value: vec4f) -> vec4f { return unpackQuad(packQuad(value)); }
`;
}
