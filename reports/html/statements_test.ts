import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { readResult } from "../../suites/result/read_result.ts";
import { isContextCase, isMeasured } from "../data/cases.ts";
import { achievedBy } from "../data/ceilings.ts";
import { contextSeries } from "../data/context_series.ts";
import { speedupSeries } from "../data/speedups.ts";
import { LEAST_FOR_INTERVAL } from "../data/spread.ts";
import { isPeer } from "../data/peer_data.ts";
import { formatBytes, formatContext, formatPlural } from "../text/format.ts";
import { renderMarkdown } from "../text/markdown.ts";
import { renderTerminal } from "../text/terminal.ts";
import { renderHtml } from "./render_html.tsx";

const FOLDER = new URL("../../fixtures/baselines/", import.meta.url);

const results = new Map<string, Result>();
for (const { name } of Deno.readDirSync(FOLDER)) {
  if (name.endsWith(".json")) {
    results.set(name, await readResult(fileURLToPath(new URL(name, FOLDER))));
  }
}

const pages = new Map([...results].map(([name, result]) => [name, renderHtml([result])]));

Deno.test("a caption speaks of a line only where one is drawn", () => {
  const html = pages.get("h100-dawn-peers.json")!;
  const hero = /<figure id="hero-figure"[^]*?<\/figure>/.exec(html)![0];
  assert.equal(hero.includes("stroke-dasharray"), hero.includes("The dashed line is the time"));
  assert.match(textOf(hero), /The hollow point is the time of torch-fa2/);
  const both = pages.get("h100-dawn-cudnn.json")!;
  const drawn = /<figure id="hero-figure"[^]*?<\/figure>/.exec(both)![0];
  assert.ok(drawn.includes("stroke-dasharray") && drawn.includes("The dashed line is the time"));
});

Deno.test("trials a cell are those of the cells, whose sum is the total", () => {
  const { retrieval } = results.get("h100-deno-retrieval.json")!;
  const counts = retrieval!.cells.map(({ trials }) => trials);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  assert.ok(least < most);
  assert.ok(
    textOf(pages.get("h100-deno-retrieval.json")!).includes(`${least}–${most} trials a cell`),
  );
});

Deno.test("a gain beyond its bound says that it is, and gives the rates", () => {
  let beyond = 0;
  for (const html of pages.values()) {
    const said = /Forward and backward the same bound is ([\d.]+)× .*? gains ([\d.]+)× .*?\.(?= )/
      .exec(textOf(html));
    if (said === null) continue;
    assert.match(said[0], /one rate/);
    if (Number(said[2]) <= Number(said[1])) continue;
    beyond++;
    assert.match(said[0], /more than at one rate/);
  }
  assert.ok(beyond > 0);
});

Deno.test("the caption of stages says how far their sum is from the layer's latency", () => {
  let figures = 0;
  for (const html of pages.values()) {
    const text = textOf(html);
    assert.doesNotMatch(text, /can differ a little/);
    figures += [
      ...text.matchAll(
        /their sum, [\d.]+ % (less|more) than the latency of the whole layer at \d+K/g,
      ),
    ].length;
  }
  assert.ok(figures > 3, `${figures} captions`);
});

Deno.test("no caption names a shade that the other theme turns around", () => {
  for (const [name, html] of pages) {
    assert.doesNotMatch(textOf(html), /\b(darker|lighter|brighter|paler) is\b/, name);
  }
});

Deno.test("the first screen gives the ratio over the fastest dense attention in words", () => {
  const head = (name: string) =>
    textOf(/<p class="deck">[^]*?<\/p>/.exec(pages.get(name)!)?.[0] ?? "");
  assert.match(
    head("h100-dawn-peers.json"),
    /At 64K the fastest dense attention of this run is torch-fa2: Lighthouse is 17\.6× .*18\.0×/,
  );
  assert.match(
    head("h100-dawn-cudnn.json"),
    /torch-cudnn , it is 11\.4×|torch-cudnn, it is 11\.4×/,
  );
  assert.equal(head("h100-dawn-512k.json"), "");
});

/** The visible text of a page, without tags, scripts and styles. */
function textOf(html: string): string {
  return html.replace(/<(script|style)[^]*?<\/\1>/g, "").replace(/<[^>]*>/g, " ")
    .replaceAll("&amp;", "&").replaceAll("\u00a0", " ").replace(/\s+/g, " ");
}

/** The `<section>` or `<figure>` with an id; undefined if there is none. */
function part(html: string, tag: string, id: string): string | undefined {
  const from = html.indexOf(`<${tag} id="${id}"`);
  return from < 0 ? undefined : html.slice(from, html.indexOf(`</${tag}>`, from));
}

/** Runs a check on every page that has its subject; asserts how many had. */
function onPages(
  check: (page: { name: string; html: string; text: string; result: Result }) => boolean,
): number {
  let count = 0;
  for (const [name, html] of pages) {
    if (check({ name, html, text: textOf(html), result: results.get(name)! })) count++;
  }
  return count;
}

function held(record: CaseRecord): number {
  return record.measuredPeakBytes || record.peakBytes;
}

Deno.test("statements: no share of a ceiling exceeds it, on any stack", () => {
  const count = onPages(({ name, text, result }) => {
    const title = /reaches ([\d.]+) % of the .*? ceiling that this run measured/.exec(text);
    if (title === null) return false;
    assert.ok(Number(title[1]) <= 100, `${name}: ${title[0]}`);
    for (const record of result.cases.filter(isMeasured)) {
      const { ofUnit } = achievedBy(record, result);
      assert.ok(ofUnit === null || ofUnit <= 1, `${name}: ${record.id} at ${ofUnit}`);
    }
    return true;
  });
  assert.ok(count >= 6, `${count} pages`);
  const dawn = textOf(pages.get("h100-dawn-peers.json")!);
  assert.match(dawn, /Dense attention reaches 5\d\.\d % of the matrix units’ ceiling/);
});

Deno.test("statements: the largest case named as run did run", () => {
  const count = onPages(({ name, text, result }) => {
    const said = /The largest case (of ours )?that ran holds ([\d.,]+ [KMGT]?i?B)/.exec(text);
    if (said === null) return false;
    const ran = result.cases.filter((record) =>
      isContextCase(record) && record.status === "ok" && !isPeer(record)
    );
    assert.equal(said[2], formatBytes(Math.max(...ran.map(held))), name);
    return true;
  });
  assert.ok(count >= 6, `${count} pages`);
});

Deno.test("statements: a sweep over contexts ends where its table does", () => {
  const count = onPages(({ name, html, text, result }) => {
    const section = part(html, "section", "speed-up");
    if (section === undefined) return false;
    const ends = [
      ...textOf(section).matchAll(
        /(lighthouse-\w+)\S*(?:, [^.]*?)? over our own dense attention at (\S+), where the sweep/g,
      ),
    ];
    assert.ok(ends.length > 0, name);
    const last = (who: string) =>
      speedupSeries(result).filter(({ implementation }) => implementation === who)
        .map(({ points }) => formatContext(points[points.length - 1].context));
    for (const [, who, context] of ends) assert.ok(last(who).includes(context), `${name}: ${who}`);
    assert.ok(!/longest context of (this|all) run/.test(text), name);
    return true;
  });
  assert.ok(count >= 5, `${count} pages`);
});

Deno.test("statements: checks are counted once, and the drawn ones are some of them", () => {
  const count = onPages(({ name, html, result }) => {
    const section = part(html, "section", "correctness");
    if (section === undefined) return false;
    const text = textOf(section);
    const said = /All (\S+) checks? of (\S+) cases? passed/.exec(text);
    assert.ok(said !== null, `${name}: ${text.slice(0, 200)}`);
    const checked = result.cases.filter(({ check }) => check !== undefined);
    const parts = checked.reduce((sum, { check }) => sum + (check!.parts?.length ?? 1), 0);
    assert.equal(`${formatPlural(parts, "x")}`.split(" ")[0], said[1], name);
    assert.equal(`${formatPlural(checked.length, "x")}`.split(" ")[0], said[2], name);
    const drawn = /the (\d+) largest of (\S+)/.exec(text);
    if (drawn !== null) {
      assert.ok(Number(drawn[2].replace(",", "")) <= parts, `${name}: ${drawn[0]}`);
    }
    return true;
  });
  assert.ok(count >= 10, `${count} pages`);
});

Deno.test("statements: a stage has the same share in the title, the bar and the table", () => {
  const count = onPages(({ name, html }) => {
    const section = part(html, "section", "stages");
    const title = /At (\S+), (\S+) takes ([\d.]+ %) of/.exec(textOf(section ?? ""));
    if (title === null) return false;
    const [, context, stage, share] = title;
    const figure = textOf(part(section!, "figure", "stages-figure-1")!);
    assert.ok(figure.includes(`${context} ${stage}`), name);
    // Bar and table both: a bar of that length contains its number.
    assert.ok(figure.split(share).length > 2, `${name}: ${share} stands in the title alone`);
    return true;
  });
  assert.ok(count >= 5, `${count} pages`);
});

Deno.test("statements: no interval has fewer samples than it needs", () => {
  let ranges = 0;
  const count = onPages(({ name, html, result }) => {
    const series = contextSeries(result);
    for (const direction of new Set(series.map(({ direction }) => direction))) {
      const first = series[0].direction === direction;
      const figure = part(html, "figure", `latency-figure${first ? "" : `-${direction}`}`)!;
      const rows = figure.slice(figure.indexOf("<tbody")).split("<tr>").slice(1)
        .map((row) => row.split(/<t[hd][^>]*>/).slice(1).map((cell) => textOf(cell).trim()));
      const points = series.filter((one) => one.direction === direction)
        .flatMap(({ points }) => points);
      // The page adds the further rows of a long table.
      const packed = /<template class="rows"/.test(figure);
      if (packed) assert.ok(rows.length < points.length, name);
      else assert.equal(rows.length, points.length, name);
      for (const [i, { count }] of points.slice(0, rows.length).entries()) {
        const few = count < LEAST_FOR_INTERVAL;
        assert.equal(/^n = \d/.test(rows[i][3]), few, `${name}: ${rows[i].join(" | ")}`);
        if (few) ranges++;
      }
    }
    return series.length > 0;
  });
  assert.ok(count >= 8 && ranges > 20, `${count} pages, ${ranges} ranges`);
});

Deno.test("statements: there are no misleading units, numbers and reasons", () => {
  const wrong = [
    /1,024 ?K\b/,
    /1,024 [KMG]iB/,
    /\b4318\b/,
    /\b0\.00 s of the budget/,
    // A value as its own interval.
    /(\d[\d.]*×) \(\1\)/,
    /All \d+ checks? passed/,
    /longest context of (this|all) run/,
    /-- \w/,
  ];
  for (const [name, html] of pages) {
    for (const text of [textOf(html), renderMarkdown([results.get(name)!])]) {
      // Values that a run recorded appear unchanged in its command and configuration.
      const shown = text.replace(/vendor 0x\w+/g, "");
      for (const pattern of wrong) {
        assert.ok(!pattern.test(shown), `${name}: ${pattern.exec(shown)} in ${pattern}`);
      }
    }
  }
});

Deno.test("statements: a comparison's common context is one that all runs have, and the longest", () => {
  const names = ["h100-dawn-peers.json", "h100-dawn-cudnn.json", "h100-deno-paper.json"];
  const some = names.map((name) => results.get(name)!);
  const text = textOf(renderHtml(some));
  const said = /At (\S+), the longest context that the runs have in common/.exec(text)!;
  const contexts = some.map((result) =>
    speedupSeries(result).find(({ implementation, direction }) =>
      implementation === "lighthouse-norm" && direction === "forward"
    )!.points.map(({ context }) => context)
  );
  const common = contexts[0].filter((context) => contexts.every((own) => own.includes(context)));
  assert.equal(said[1], formatContext(Math.max(...common)));
});

Deno.test("statements: untimed cases give a line for each reason, not a row for each case", () => {
  const html = pages.get("h100-deno-paper.json")!;
  const section = part(html, "section", "missing")!;
  const lines = section.match(/<summary>/g)!.length;
  const missing =
    results.get("h100-deno-paper.json")!.cases.filter(({ status }) => status !== "ok").length;
  assert.ok(missing > 50 && lines < 10, `${lines} lines for ${missing} cases`);
  assert.ok(!section.includes("<details open"), "nothing failed, so nothing is open");
});

Deno.test("statements: a layer of another family gets its own options, and neither Lighthouse's lines nor the paper's point", () => {
  const result = sampleResult();
  for (const record of result.cases.filter(({ family }) => family === "lighthouse")) {
    const id = record.id;
    Object.assign(record, {
      id: id.replace(/lighthouse-norm/, "block-local"),
      implementation: "block-local",
      family: "local",
      options: { block: 64 },
      rules: undefined,
    });
    for (const ratio of result.ratios) if (ratio.denominator === id) ratio.denominator = record.id;
  }
  const html = renderHtml([result]);
  const figure = part(html, "figure", "speed-up-figure")!;
  assert.match(textOf(figure), /block = 64/);
  assert.match(figure, /dense time ÷ layer time/);
  for (
    const text of [textOf(figure), textOf(html), renderMarkdown([result]), renderTerminal(result)]
  ) {
    assert.doesNotMatch(text, /= (null|undefined)\b|÷ Lighthouse time|Lighthouse begins to win/);
  }
  assert.doesNotMatch(textOf(figure), /The star is|attention FLOP alone|paper’s point/);
});
