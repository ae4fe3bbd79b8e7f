import assert from "node:assert/strict";
import { render } from "preact-render-to-string";
import { DotPlot } from "./dot_plot.tsx";
import { runStyles } from "./palette.ts";
import { textBox } from "./labels.ts";

const [style] = runStyles(1);

/** Boxes of the texts on the axis of a plot with one row, its title left out, left to right. */
function axisLabels(
  width: number,
  compact: boolean,
  label: string,
  value: number,
  format: (v: number) => string,
) {
  const html = render(
    <DotPlot
      size={{ width, height: 110, compact }}
      rows={[{ label, value, text: format(value), style }]}
      axis="rate"
      format={format}
    />,
  );
  const axis = /<g class="axis">(.*?)<\/g>/s.exec(html)![1];
  return [...axis.matchAll(/<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([^<]*)</g)]
    .map(([, x, y, anchor, text]) =>
      textBox(text, { x: Number(x), y: Number(y), anchor: anchor as "start" | "middle" | "end" })
    ).sort((a, b) => a.left - b.left);
}

Deno.test("DotPlot: labels of its axis touch neither each other nor the edges, however narrow it is", () => {
  let shown = 0;
  for (const width of [220, 300, 340, 600]) {
    for (const letters of [1, 8, 14, 40]) {
      for (const unit of ["", "ms", " Mtok/s", " thousand tokens/s"]) {
        for (const value of [0.3, 1.9, 2, 7.4, 1234]) {
          const boxes = axisLabels(
            width,
            width < 400,
            "n".repeat(letters),
            value,
            (v) => `${v}${unit}`,
          );
          const where = `${width} wide, ${letters} letters, ${value}${unit}`;
          shown += boxes.length;
          assert.ok(boxes.length > 0, where);
          boxes.forEach((box, i) => {
            assert.ok(box.left >= 0 && box.right <= width + 0.01, `${where}: over an edge`);
            assert.ok(i === 0 || boxes[i - 1].right < box.left, `${where}: labels touch`);
          });
        }
      }
    }
  }
  assert.ok(shown > 320, "most plots have several");
});
