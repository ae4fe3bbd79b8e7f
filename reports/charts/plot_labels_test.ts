import assert from "node:assert/strict";
import { textBox } from "./labels.ts";
import { placePlotLabels } from "./plot_labels.ts";

/** A narrow plot with a star under a guide; `taken` are places that other texts hold. */
function narrow(star: number, taken: Parameters<typeof placePlotLabels>[0]["texts"] = []) {
  const plot = { left: 44, right: 326, top: 34, bottom: 248 };
  return placePlotLabels({
    lines: [],
    marks: [{ text: "paper: 17.3×", detail: "forward and backward, B200", at: [326, star] }],
    guides: [{
      text: "28.4×: attention FLOP alone",
      points: [[44, 70], [326, 70]],
      from: "start",
    }],
    points: [],
    curves: [],
    texts: taken,
    plot,
    width: 340,
    compact: true,
  });
}

/** Distance of the two lines of a star's label from a height. */
const gap = ({ y }: { y: number }, height: number) =>
  Math.max(0, height - (y + 17), y - 11 - height);

Deno.test("a star's label is nearer to its star than to a guide, and the guide keeps its own", () => {
  let placed = 0;
  for (let star = 76; star < 240; star += 4) {
    const { marks: [mark], guides: [guide], homeless } = narrow(star);
    assert.notEqual(guide, null, `star at ${star}`);
    if (mark === null) assert.deepEqual(homeless, ["★ paper: 17.3×"]);
    else {
      placed++;
      assert.ok(gap(mark, star) <= gap(mark, 70) + 9, `star at ${star}, label at ${mark.y}`);
    }
  }
  assert.ok(placed > 20, `${placed} labels have a place`);
});

Deno.test("a star whose near places are taken is named above the plot, not at a guide", () => {
  // Under the star all is taken, so that only the places at the guide are free.
  const below = { left: 44, right: 326, top: 92, bottom: 248 };
  const { marks: [mark], guides: [guide], homeless } = narrow(100, [below]);
  assert.equal(mark, null);
  assert.deepEqual(homeless, ["★ paper: 17.3×"]);
  const label = textBox("28.4×: attention FLOP alone", guide!, { size: 12.5 });
  assert.ok(Math.min(Math.abs(label.bottom - 70), Math.abs(label.top - 70)) < 14);
});
