import assert from "node:assert/strict";
import { foldGrid, locateEntry, planGeometry, requireLayerShape } from "./lighthouse_geometry.ts";

Deno.test("planGeometry derives the paper's sizes", () => {
  const geometry = planGeometry(524288, { levels: 3, pooling: 4, k: 8192 });
  assert.deepEqual(geometry.levelEntries, [524288, 131072, 32768]);
  assert.deepEqual(geometry.levelOffsets, [0, 524288, 655360]);
  assert.equal(geometry.entries, 688128);
  assert.equal(geometry.tiles, 64);
  assert.equal(geometry.tileEntries, 512);
  assert.equal(geometry.gathered, 98304);
  assert.equal(geometry.gatheredPerTile, 1536);
});

Deno.test("planGeometry names value and limit of every broken constraint", () => {
  const good = { levels: 3, pooling: 4, k: 128 };
  const cases: [number, Partial<typeof good> & { dilation?: number }, RegExp][] = [
    [2048.5, {}, /context 2048.5/],
    [0, {}, /context 0/],
    [2 ** 25, {}, /context 33554432 .* 16777216/],
    [2048, { levels: 1 }, /levels 1 is not a whole number from 2 to 16/],
    [2048, { levels: 17 }, /levels 17/],
    [2048, { pooling: 3 }, /pooling 3 is not a power of two/],
    [2048, { pooling: 1 }, /pooling 1/],
    [2048, { pooling: NaN }, /pooling NaN/],
    [2050, {}, /context 2050 is not a multiple of pooling\^\(levels-1\) = 16/],
    [2048, { k: 100 }, /k 100 is not a whole number from 128/],
    [2048, { k: 192 }, /k 192 is not a multiple of 128/],
    [2048, { k: 256 }, /k 256 leaves 64 coarsest entries per tile; .* \(k at most 128 here\)/],
    // 192 entries make one tile of 192; they cannot fill one and a half tiles of 128.
    [16 * 192, { k: 384 }, /leaves 64 coarsest entries per tile; .* \(k at most 128 here\)/],
    [16 * 64, {}, /context 1024 leaves 64 coarsest entries of 16 rows; any k needs at least 128/],
    [16 * 512, { k: 384 }, /512 coarsest entries do not divide into k\/128 = 3 tiles/],
    [2048, { dilation: 3 }, /dilation 3 does not divide context 2048/],
    [2048, { dilation: 0 }, /dilation 0/],
  ];
  for (const [context, change, message] of cases) {
    assert.throws(() => planGeometry(context, { ...good, ...change }), (error) => {
      assert.ok(error instanceof RangeError);
      assert.match(error.message, message);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  }
  assert.equal(planGeometry(2048, { ...good, dilation: 4 }).gathered, 1152);
});

Deno.test("requireLayerShape accepts power-of-two rows of at least 32 bytes", () => {
  for (const headDim of [32, 64, 128]) {
    for (const dtype of ["f16", "f32"] as const) {
      requireLayerShape({ heads: 8, context: 2048, headDim, dtype });
    }
  }
  const shape = { heads: 8, context: 2048, headDim: 96, dtype: "f16" } as const;
  assert.throws(() => requireLayerShape(shape), /headDim 96 is not a power of two/);
  assert.throws(() => requireLayerShape({ ...shape, headDim: 8 }), /headDim 8 .* 16 to 256/);
  assert.throws(() => requireLayerShape({ ...shape, heads: 0 }), /heads 0/);
});

Deno.test("locateEntry inverts the level offsets", () => {
  const geometry = planGeometry(2048, { levels: 3, pooling: 4, k: 128 });
  assert.deepEqual(locateEntry(geometry, 0), { level: 0, index: 0 });
  assert.deepEqual(locateEntry(geometry, 2047), { level: 0, index: 2047 });
  assert.deepEqual(locateEntry(geometry, 2048), { level: 1, index: 0 });
  assert.deepEqual(locateEntry(geometry, 2687), { level: 2, index: 127 });
});

Deno.test("foldGrid covers the count within the limit", () => {
  for (const count of [1, 65535, 65536, 1000003]) {
    const [x, y] = foldGrid(count);
    assert.ok(x <= 65535 && y <= 65535 && x * y >= count && x * (y - 1) < count);
  }
});
