import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { implementationRecords } from "../../suites/result/implementation_record.ts";
import { STYLE } from "../html/style.ts";
import { type ChartPage, chartPages } from "./_chart_pages.ts";
import { contrast, leastDistance } from "./_color_vision.ts";
import { markerPath, plotStyles, runStyles, type SeriesStyle, styleOf } from "./palette.ts";

/** Peers with helpers in this repository, and some that others may have. */
const PEERS = ["torch-fa2", "torch-cudnn", "torch-math", "ort-web", "lighthouse-cuda"];
const NAMES = [...IMPLEMENTATIONS.map(({ name }) => name), ...PEERS];
const BACKGROUND = { light: "#fcfbf8", dark: "#15171a" };

/** The colour in one theme. */
function hexOf({ color }: SeriesStyle, theme: "light" | "dark"): string {
  const both = /^light-dark\((#\w{6}),(#\w{6})\)$/.exec(color);
  if (both) return both[theme === "light" ? 1 : 2];
  const name = /^var\((--[\w-]+)\)$/.exec(color)![1];
  const values = [...STYLE.matchAll(new RegExp(`${name}:(#[0-9a-f]{3,6})`, "g"))].map(([, hex]) =>
    hex.length === 4 ? hex.replace(/\w/g, "$&$&") : hex
  );
  // The sheet has the light values first, then the dark ones, then light ones again for print.
  return values[theme === "light" ? 0 : 1];
}

Deno.test("an implementation looks the same next to any other, and so does a peer with its prefix", () => {
  const described = { implementations: implementationRecords(IMPLEMENTATIONS) };
  for (const name of NAMES) {
    const alone = styleOf(name, { implementations: [] });
    assert.deepEqual(styleOf(name, described), alone, name);
    assert.deepEqual(styleOf(`peer:${name}`, described), alone, name);
    for (const order of [NAMES, NAMES.toReversed()]) {
      assert.deepEqual(plotStyles(order, described)[order.indexOf(name)].style, alone, name);
    }
  }
  // Two settings of one implementation keep its colour and mark; their dashes differ.
  const [first, second] = plotStyles(["dense", "dense"], described);
  assert.equal(first.style, second.style);
  assert.notEqual(first.dash, second.dash);
  assert.ok(second.hollow);
});

Deno.test("implementations differ by colour or by mark, under every colour vision", () => {
  const styles = NAMES.map((name) => ({ name, style: styleOf(name, { implementations: [] }) }));
  for (const theme of ["light", "dark"] as const) {
    for (const [i, one] of styles.entries()) {
      const hex = hexOf(one.style, theme);
      assert.ok(contrast(hex, BACKGROUND[theme]) >= 3, `${one.name} on ${theme}: ${hex}`);
      for (const other of styles.slice(i + 1)) {
        const far = leastDistance(hex, hexOf(other.style, theme));
        assert.ok(
          far >= 12 || one.style.marker !== other.style.marker ||
            one.style.dash !== other.style.dash,
          `${one.name} and ${other.name} in ${theme}: distance ${far.toFixed(1)}, one mark`,
        );
      }
    }
  }
});

Deno.test("a run or a device has no implementation's colour, and no other's look", () => {
  const runs = runStyles(7);
  for (const theme of ["light", "dark"] as const) {
    for (const run of runs) {
      const hex = hexOf(run, theme);
      assert.ok(contrast(hex, BACKGROUND[theme]) >= 3, `${run.color} on ${theme}`);
      for (const name of NAMES) {
        const far = leastDistance(hex, hexOf(styleOf(name, { implementations: [] }), theme));
        assert.ok(far >= 12, `${run.color} and ${name} in ${theme}: distance ${far.toFixed(1)}`);
      }
    }
  }
  const looks = runs.map(({ color, marker, dash }) => `${color} ${markerPath(marker)} ${dash}`);
  assert.equal(new Set(looks).size, runs.length);
});

let made: Promise<ChartPage[]> | undefined;

/** The pages, made once. */
function pages(): Promise<ChartPage[]> {
  return made ??= Array.fromAsync(chartPages());
}

Deno.test({
  ...slow("a figure of devices is drawn in ink, in the same way on every page"),
  fn: async () => {
    const seen = new Map<string, string>();
    for (const { name: page, html } of await pages()) {
      const entries = html.matchAll(
        /<li><svg class="swatch"[^>]*style="color:([^";]*);?"[^>]*>(?:<path class="curve"[^>]*\/>)?<path class="marker[^"]*" d="([^"]*)"\/><\/svg>([^<]*)</g,
      );
      for (const [, color, mark, label] of entries) {
        // A label names a device with its stack, or is that of the site's synthetic adapter.
        if (!/^([A-D]: )?(NVIDIA|synthetic|Synthetic|llvmpipe)/.test(label)) {
          assert.doesNotMatch(color, /--run/, `${label} on ${page}`);
          continue;
        }
        assert.equal(color, "var(--run)", `${label} on ${page}`);
        // Elsewhere a letter and a mark stand for a run.
        if (!/^site (index|devices)/.test(page)) continue;
        const device = label.replace(/^[A-D]: |, another run$/g, "");
        assert.equal(seen.get(device) ?? mark, mark, `${label} on ${page}`);
        seen.set(device, mark);
      }
    }
    assert.ok(seen.size >= 2, [...seen.keys()].join());
  },
});

Deno.test({
  ...slow("a series of a name has one colour and mark on every page"),
  fn: async () => {
    const seen = new Map<string, string>();
    let found = 0;
    for (const { name: page, html } of await pages()) {
      const entries = html.matchAll(
        /<li><svg class="swatch"[^>]*style="color:([^";]*);?"[^>]*>(?:<path class="curve"[^>]*\/>)?<path class="marker[^"]*" d="([^"]*)"\/><\/svg>([^<]*)</g,
      );
      for (const [, color, mark, label] of entries) {
        const name = NAMES.find((one) => one === label || label.startsWith(`${one},`));
        if (name === undefined) continue;
        const style = styleOf(name, { implementations: [] });
        const expected = `${style.color} ${markerPath(style.marker, 80)}`;
        assert.equal(`${color} ${mark}`, expected, `${label} on ${page}`);
        assert.equal(seen.get(name) ?? expected, expected);
        seen.set(name, expected);
        found++;
      }
    }
    assert.ok(found > 120 && seen.size >= 6, `${found} entries of ${[...seen.keys()]}`);
  },
});
