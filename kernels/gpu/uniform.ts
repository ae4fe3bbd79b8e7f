/**
 * Packs uniforms by field name, so that no array has to match the order of a shader's `Params`.
 *
 * A layout repeats the fields of the shader's struct. A test creates and binds every kernel and
 * compares the layout of each uniform with the struct of the bound shader.
 *
 * @module
 */
import { createUniform } from "./buffers.ts";
import type { Gpu } from "./device.ts";

/** Fields of a uniform struct in order, each of 4 bytes. */
export type UniformLayout = Readonly<Record<string, "u32" | "f32">>;

/** A number for each field of a layout. */
export type UniformValues<Layout extends UniformLayout> = {
  readonly [Field in keyof Layout]: number;
};

/**
 * The words of a uniform.
 *
 * @throws {TypeError} when a field is missing or unknown.
 * @throws {RangeError} when a value does not fit its field: whole numbers from 0 to 2^32 - 1 for
 * `u32`, anything but NaN for `f32`.
 *
 * @example
 * ```ts
 * import { packUniform } from "./uniform.ts";
 * import assert from "node:assert/strict";
 *
 * const layout = { rows: "u32", scale: "f32" } as const;
 * assert.deepEqual(packUniform(layout, { scale: 1, rows: 7 }), Uint32Array.of(7, 0x3f800000));
 * assert.throws(() => packUniform(layout, { rows: 7 } as never), /scale is missing/);
 * ```
 */
export function packUniform<Layout extends UniformLayout>(
  layout: Layout,
  values: UniformValues<Layout>,
): Uint32Array<ArrayBuffer> {
  const fields = Object.keys(layout);
  for (const name in values) {
    if (!Object.hasOwn(layout, name)) {
      throw new TypeError(`pack uniform: ${name} is not one of its fields, ${fields.join(", ")}`);
    }
  }
  const words = new Uint32Array(fields.length);
  const floats = new Float32Array(words.buffer);
  for (const [i, name] of fields.entries()) {
    const value = values[name];
    if (value === undefined) {
      throw new TypeError(
        `pack uniform: field ${name} is missing; the fields are ${fields.join(", ")}`,
      );
    }
    const whole = layout[name] === "u32";
    const fits = typeof value === "number" &&
      (whole ? value >>> 0 === value : !Number.isNaN(value));
    if (!fits) {
      const range = whole ? "a whole number from 0 to 4294967295" : "a number";
      throw new RangeError(`pack uniform: ${name} = ${value} is not ${range}`);
    }
    if (whole) words[i] = value;
    else floats[i] = value;
  }
  return words;
}

/**
 * Creates a uniform buffer. Its label lists the fields, which validation errors and tests can read.
 *
 * @throws {TypeError} when a field is missing or unknown.
 * @throws {RangeError} when a value does not fit its field.
 */
export function createParams<Layout extends UniformLayout>(
  gpu: Gpu,
  layout: Layout,
  values: UniformValues<Layout>,
): GPUBuffer {
  return createUniform(gpu, packUniform(layout, values), { label: uniformLabel(layout) });
}

/** The label of a uniform buffer of a layout. */
export function uniformLabel(layout: UniformLayout): string {
  return `uniform ${Object.entries(layout).map(([name, type]) => `${name}: ${type}`).join(", ")}`;
}
