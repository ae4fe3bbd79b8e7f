import assert from "node:assert/strict";
import { saveAll } from "../html/_page_script.ts";
import { type ChartData, dotData, embedChartData, finite, plotData } from "./chart_data.ts";
import { packJson } from "../html/pack_json.ts";

/** The content of the file that the page's script saves, run here on a page of two figures. */
async function exported(format: "csv" | "json", data: ChartData): Promise<string> {
  const packed = packJson(`[{"columns":["a"],"rows":[[1]]},${embedChartData(data)}]`);
  const html =
    ["first", "second"].map((id) => `<figure id="${id}"><figcaption>Title</figcaption></figure>`)
      .join("") + `<script type="application/json+x" id="chart-data">${packed}</script>`;
  const files = await saveAll(html);
  assert.equal(files.length, 4);
  return files.find(({ name }) => name === `second.${format}`)!.text;
}

Deno.test("export: CSV quotes what must be quoted, and no text reads as a formula", async () => {
  const data = {
    columns: ["series", "context_tokens", "seconds"],
    rows: [['a, "b"\nc', 8192, 1.5e-7], ["=1+1", 1, null], ["-x", -2, 0]],
  };
  assert.equal(
    await exported("csv", data),
    "series,context_tokens,seconds\r\n" +
      '"a, ""b""\nc",8192,1.5e-7\r\n' + "'=1+1,1,\r\n" + "'-x,-2,0\r\n",
  );
});

Deno.test("export: JSON has a record for each row", async () => {
  const data = { columns: ["series", "seconds"], rows: [["</script>\u2028", 1], ["b", null]] };
  assert.deepEqual(JSON.parse(await exported("json", data)), {
    title: "Title",
    rows: [{ series: "</script>\u2028", seconds: 1 }, { series: "b", seconds: null }],
  });
});

Deno.test("embedChartData: no text can end the element that contains it", () => {
  const text = embedChartData({ columns: ["a"], rows: [["</script><!--\u2028\u2029"]] });
  assert.ok(!/[<\u2028\u2029]/.test(text), text);
  assert.equal(JSON.parse(text).rows[0][0], "</script><!--\u2028\u2029");
});

Deno.test("plotData and dotData: intervals where there are any, nine digits, null for no number", () => {
  const names = { x: "x", y: "y" };
  assert.deepEqual(plotData([{ label: "s", points: [{ x: 1, y: 1 / 3 }] }], names), {
    columns: ["series", "x", "y"],
    rows: [["s", 1, 0.333333333]],
  });
  assert.deepEqual(
    plotData([{ label: "s", points: [{ x: 1, y: 2, low: 1, high: NaN }] }], names).rows,
    [["s", 1, 2, 1, null]],
  );
  assert.deepEqual(
    dotData([{ label: "a", value: Infinity }], { label: "part", value: "share" }),
    { columns: ["part", "share"], rows: [["a", null]] },
  );
  assert.equal(finite(undefined), null);
});
