/**
 * Holds the uniforms that kernels bind against the structs of the shaders that read them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { WgslReflect } from "wgsl_reflect";
import type { RecordedShader } from "./gpu/_recording_device.ts";
import { uniformLabel } from "./gpu/uniform.ts";

/** The uniform of a shader by reflection: its binding, its fields as a label, and its size. */
function reflectUniform(code: string) {
  // The parser knows neither subgroup matrices nor all expressions: it gets declarations alone.
  const declared = code.match(/struct Params \{[^}]*\}|@group.*var<uniform>.*;/g) ?? [];
  const [uniform, ...others] = new WgslReflect(declared.join("\n")).uniforms;
  if (!uniform) return undefined;
  assert.deepEqual(others, []);
  const { members } = uniform.type as unknown as {
    members: { name: string; offset: number; type: { name: "u32" | "f32" } }[];
  };
  assert.deepEqual(members.map(({ offset }) => offset), members.map((_, i) => 4 * i));
  const layout = Object.fromEntries(members.map(({ name, type }) => [name, type.name]));
  return { binding: uniform.binding, label: uniformLabel(layout), fields: members.length };
}

/**
 * Requires that every uniform that was bound was packed by the fields of its shader, in their order.
 *
 * @returns the number of uniforms.
 */
export function expectUniforms(name: string, shaders: readonly RecordedShader[]): number {
  let count = 0;
  for (const { label, code, uniforms } of shaders) {
    const found = reflectUniform(code);
    for (const { binding, label: bound, words } of uniforms) {
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
