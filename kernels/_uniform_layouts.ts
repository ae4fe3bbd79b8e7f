/**
 * Compares the uniforms that kernels bind with the structs of the shaders that read them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { WgslReflect } from "wgsl_reflect";
import type { RecordedShader } from "./gpu/_recording_device.ts";
import { uniformLabel } from "./gpu/uniform.ts";

/** A field of a uniform struct. */
interface Member {
  readonly name: string;
  readonly offset: number;
  readonly type: { readonly name: "u32" | "f32" };
}

/**
 * The uniforms of a shader by reflection: their bindings, their fields as a label, and their sizes.
 */
function reflectUniforms(code: string) {
  // The parser supports neither subgroup matrices nor all expressions, so it gets only
  // declarations.
  const declared = code.match(/struct \w*Params \{[^}]*\}|@group.*var<uniform>.*;/g) ?? [];
  const { uniforms } = new WgslReflect(declared.join("\n")) as unknown as {
    uniforms: { binding: number; type: { members: Member[] } }[];
  };
  return uniforms.map(({ binding, type: { members } }) => {
    assert.deepEqual(members.map(({ offset }) => offset), members.map((_, i) => 4 * i));
    const layout = Object.fromEntries(members.map(({ name, type }) => [name, type.name]));
    return { binding, label: uniformLabel(layout), fields: members.length };
  });
}

/**
 * Requires that every bound uniform was packed with the fields of its shader, in order.
 *
 * @returns the number of uniforms.
 */
export function expectUniforms(name: string, shaders: readonly RecordedShader[]): number {
  let count = 0;
  for (const { label, code, uniforms } of shaders) {
    const declared = reflectUniforms(code);
    for (const { binding, label: bound, words } of uniforms) {
      const found = declared.find((one) => one.binding === binding);
      assert.deepEqual({ binding, label: bound }, {
        binding: found?.binding,
        label: found?.label,
      }, `${name}: ${label}`);
      assert.equal(words.length, Math.ceil(found!.fields / 4) * 4);
      count++;
    }
  }
  return count;
}
