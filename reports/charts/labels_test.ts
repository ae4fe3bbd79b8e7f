import assert from "node:assert/strict";
import fc from "fast-check";
import {
  alongLine,
  around,
  inLines,
  placesAlong,
  placesAround,
  placeText,
  shortened,
  stackLabels,
  textBox,
  textWidth,
  thinned,
  touch,
} from "./labels.ts";

Deno.test("textWidth: bold is wider, sizes scale, signs and other alphabets count", () => {
  assert.ok(textWidth("lighthouse", { bold: true }) > textWidth("lighthouse"));
  assert.equal(textWidth("512K", { size: 26 }), 2 * textWidth("512K"));
  assert.ok(textWidth("×") > 5 && textWidth("注意") > 20);
  assert.equal(textWidth(""), 0);
});

Deno.test("shortened and inLines stay within a width, and keep text that fits whole", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 60 });
  fc.assert(fc.property(text, fc.integer({ min: 20, max: 300 }), (label, width) => {
    assert.ok(textWidth(shortened(label, width)) <= width);
    for (const line of inLines(label, { width, most: 3 })) {
      assert.ok(textWidth(line) <= width, line);
    }
    if (textWidth(label) <= width) assert.equal(shortened(label, width), label);
  }));
});

Deno.test("thinned: no two labels touch, the last tick is kept, and so is the order", () => {
  const ticks = fc.uniqueArray(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 30 });
  fc.assert(fc.property(ticks, (values) => {
    const sorted = values.toSorted((a, b) => a - b);
    const boxOf = (tick: number) => textBox(`${tick} ms`, { x: tick, y: 0, anchor: "middle" });
    const kept = thinned(sorted, boxOf);
    assert.equal(kept.at(-1), sorted.at(-1));
    assert.deepEqual(kept, sorted.filter((tick) => kept.includes(tick)));
    kept.slice(1).forEach((tick, i) => assert.ok(!touch(boxOf(kept[i]), boxOf(tick))));
  }));
});

Deno.test("placeText: a placed text touches no hard obstacle, stays in the frame, and becomes an obstacle", () => {
  const point = fc.tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 300 }));
  fc.assert(fc.property(fc.array(point, { minLength: 2, maxLength: 20 }), (points) => {
    const frame = { left: 0, right: 400, top: 0, bottom: 300 };
    const hard = [...points.map(([x, y]) => around(x, y, 6)), ...alongLine(points)];
    const before = [...hard];
    const soft = alongLine([[0, 150], [400, 150]]);
    const places = [
      ...placesAround(...points[0]),
      ...placesAlong([[0, 150], [400, 150]], "end"),
    ];
    const place = placeText("lighthouse-norm", places, { hard, soft, frame }, { bold: true });
    if (place === null) {
      assert.equal(hard.length, before.length);
      return;
    }
    const box = textBox("lighthouse-norm", place, { bold: true });
    assert.ok(before.every((other) => !touch(box, other)));
    assert.ok(box.left >= 0 && box.right <= 400 && box.top >= 0 && box.bottom <= 300);
    assert.deepEqual(hard.at(-1), box);
  }));
});

Deno.test("stackLabels: labels of a margin do not overlap, and the last are left out first", () => {
  const heights = fc.array(fc.double({ min: -50, max: 350, noNaN: true }), { maxLength: 30 });
  fc.assert(fc.property(heights, (ys) => {
    const labels = ys.map((y, i) => ({ y, height: 17, name: i }));
    const placed = stackLabels(labels, [0, 300]);
    assert.equal(placed.length, Math.min(ys.length, 17));
    assert.ok(placed.every(({ name }) => name < 17));
    placed.forEach(({ y, height }, i) => {
      assert.ok(y - height / 2 >= -1e-9 && y + height / 2 <= 300 + 1e-9);
      if (i > 0) assert.ok(y - placed[i - 1].y >= height - 1e-9);
    });
  }));
});
