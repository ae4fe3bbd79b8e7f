import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { hostileResult } from "../../suites/result/_hostile_result.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { sampleRuns } from "./_sample_site.ts";
import { openPreviewRenderer, PREVIEW_SIZE, previewSvg } from "./preview.tsx";
import { planSite } from "./runs.ts";
import { siteFiles } from "./site_files.tsx";

/** Width and height in the header of a PNG. */
function sizeOf(png: Uint8Array<ArrayBuffer>): { width: number; height: number } {
  assert.deepEqual([...png.slice(1, 4)], [..."PNG"].map((char) => char.charCodeAt(0)));
  const view = new DataView(png.buffer, png.byteOffset);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

Deno.test("preview: a picture of 1200 × 630, the same bytes for the same result", async () => {
  const render = await openPreviewRenderer();
  const svg = previewSvg(sampleResult());
  const png = render(svg);
  assert.deepEqual(sizeOf(png), PREVIEW_SIZE);
  assert.deepEqual(render(svg), png);
  // It contains a chart: without one the picture differs.
  const without = render(previewSvg(sampleResult({ contexts: [] })));
  assert.notDeepEqual(without, png);
  assert.ok(png.length > 20_000 && png.length < 300_000, `${png.length} bytes`);
});

Deno.test("preview: nothing in it needs a browser, and text of a result is never markup", () => {
  for (const result of [sampleResult({ variants: true }), hostileResult()]) {
    const svg = previewSvg(result);
    assert.doesNotMatch(svg, /var\(|light-dark|<metadata|<script|NaN|undefined/);
    const tags = new Set([...svg.matchAll(/<([a-z]+)/gi)].map(([, name]) => name));
    for (const name of ["img", "image", "foreignObject", "iframe"]) assert.ok(!tags.has(name));
  }
});

Deno.test({
  ...slow("preview: a site has pictures if its address is given, and its pages refer to them"),
  fn: () => {
    const plan = planSite(sampleRuns(2));
    const drawn: string[] = [];
    const preview = (svg: string) => (drawn.push(svg), new Uint8Array([1, 2, 3]));
    const url = "https://example.org/bench";
    const files = new Map([...siteFiles(plan, { url, preview })].map((file) => [file.path, file]));
    const pictures = [...files.keys()].filter((path) => path.endsWith(".png"));
    assert.equal(pictures.length, plan.runs.length);
    assert.equal(drawn.length, plan.runs.length);
    for (const path of pictures) {
      assert.deepEqual(files.get(path)!.bytes, new Uint8Array([1, 2, 3]));
      const page = files.get(path.replace(/png$/, "html"))!.text;
      assert.ok(page.includes(`property="og:image" content="${url}/${path}"`), path);
    }
    const shown = /property="og:image" content="https:\/\/example\.org\/bench\/([^"]+)"/
      .exec(files.get("index.html")!.text)!;
    assert.ok(files.has(shown[1]));
    for (const { path, text } of siteFiles(plan)) {
      assert.ok(!path.endsWith(".png") && !text.includes("og:image"), path);
    }
  },
});
