import assert from "node:assert/strict";
import { openRecordingDevice } from "./_recording_device.ts";
import { createParams, packUniform, type UniformValues } from "./uniform.ts";

const LAYOUT = { rows: "u32", scale: "f32", gridWidth: "u32" } as const;
const VALUES = { gridWidth: 3, rows: 2 ** 32 - 1, scale: -0.5 };

Deno.test("packUniform follows the layout, whatever the order of the values", () => {
  assert.deepEqual(packUniform(LAYOUT, VALUES), Uint32Array.of(2 ** 32 - 1, 0xbf000000, 3));
});

Deno.test("packUniform names a field that is missing, unknown or out of range", () => {
  const pack = (change: object) => () =>
    packUniform(LAYOUT, { ...VALUES, ...change } as UniformValues<typeof LAYOUT>);
  assert.throws(
    pack({ scale: undefined }),
    /^TypeError: pack uniform: field scale is missing; the fields are rows, /,
  );
  assert.throws(
    pack({ grid: 1 }),
    /^TypeError: .* grid is not one of its fields, rows, scale, grid/,
  );
  for (const rows of [-1, 0.5, 2 ** 32, NaN, Infinity, "7"]) {
    assert.throws(
      pack({ rows }),
      /^RangeError: .* rows = .* is not a whole number from 0 to 429496/,
    );
  }
  for (const scale of [NaN, "1", null]) {
    assert.throws(pack({ scale }), /^RangeError: .* scale = .* is not a number/);
  }
  assert.doesNotThrow(pack({ scale: -Infinity }));
});

Deno.test("createParams labels the buffer with its fields", () => {
  const { gpu } = openRecordingDevice();
  const { label, size } = createParams(gpu, LAYOUT, VALUES);
  assert.deepEqual([label, size], ["uniform rows: u32, scale: f32, gridWidth: u32", 16]);
});
