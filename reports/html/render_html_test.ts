import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { ATTACK, hostileResult } from "../../suites/result/_hostile_result.ts";
import { sampleRetrieval } from "../../suites/result/_sample_retrieval.ts";
import { sampleCase, sampleResult } from "../../suites/result/_sample_result.ts";
import { packedRowsOf, saveAll } from "./_page_script.ts";
import { judgeClaims } from "../claims/claims.ts";
import { scoreboardOf } from "../claims/scoreboard.ts";
import { OUTSIDE, sources } from "../claims/sources.ts";
import { renderHtml } from "./render_html.tsx";

/** The page without its embedded results and scripts, so that the rest can be searched. */
function markup(html: string): string {
  return html.replace(/<style>[^]*?<\/style>/, "").replace(
    /<script type="application\/json[^"]*"[^]*?<\/script>/g,
    "",
  );
}

Deno.test("renderHtml opens with the verdict, the claims and the hardware notice", () => {
  const html = renderHtml([sampleResult({ extras: true, sweeps: true })]);
  const order = [
    '<p class="scoreboard">',
    '<h1 class="verdict">The 21× holds here: ',
    "Other hardware and software than the paper",
    "What the letters mean",
    'href="https://arxiv.org/abs/2605.06554"',
    'id="hero-figure"',
    'id="claims"',
    "21.0× faster than SDPA at 512K tokens, forward",
    "made of the paper elsewhere",
    'id="latency"',
    'id="speed-up"',
    'id="stages"',
    'id="ceilings"',
    'id="sweeps"',
    'id="throughput"',
    'id="peers"',
    'id="correctness"',
    'id="missing"',
    'id="environment"',
    'id="samples"',
  ].map((text) => [text, html.indexOf(text)] as const);
  for (const [i, [text, position]] of order.entries()) {
    assert.ok(position > 0, `${text} is missing`);
    assert.ok(i === 0 || position > order[i - 1][1], `${text} is out of order`);
  }
});

Deno.test("the first screen: scoreboard, what the headline is over, sources, every letter", () => {
  const html = renderHtml([sampleResult()]);
  const head = html.slice(html.indexOf("<header"), html.indexOf("</header>"));
  const text = head.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ");
  const rows = judgeClaims(sampleResult());
  const { judgeable, verdicts } = scoreboardOf(rows);
  assert.equal(verdicts.reduce((sum, { count }) => sum + count, 0), judgeable);
  const reproduced = verdicts.find(({ verdict }) => verdict === "reproduced")!.count;
  assert.ok(text.includes(`${reproduced} of ${judgeable} claims reproduced`), text);
  assert.match(
    text,
    /n = 6\) at 512K tokens, forward, over this suite's own dense kernel on Deno's/,
  );
  for (const letter of ["N", "H", "d", "L", "p", "k", "S", "δ", "n", "SDPA", "N/64"]) {
    assert.ok(head.includes(`<dt>${letter}</dt>`), letter);
  }
  const links = [...head.matchAll(/<a href="([^"]+)"/g)].map(([, href]) => href);
  assert.deepEqual(links, OUTSIDE);
  // Without a repository address there is no link, and with one there is.
  const hrefs = (repository?: string) =>
    sources({ repository, commit: "0123456789" }).map(({ href }) => href);
  assert.equal(hrefs().filter((href) => href === null).length, 1);
  assert.deepEqual(hrefs("https://github.com/a/b").slice(2), [
    "https://github.com/a/b",
    "https://github.com/a/b/blob/0123456789/suites/METHOD.md",
  ]);
  for (
    const hostile of ["javascript:alert(1)", "https://x.example/y", 'https://github.com/a/b"c']
  ) {
    assert.deepEqual(hrefs(hostile), hrefs(), hostile);
  }
});

Deno.test("a run that no claim covers opens with its findings", () => {
  const needles = { ...sampleResult({ contexts: [] }), retrieval: sampleRetrieval() };
  const html = renderHtml([needles]);
  const at = (id: string) => html.indexOf(`<section id="${id}"`);
  assert.ok(at("retrieval") > 0 && at("retrieval") < at("claims"));
  assert.ok(!html.includes('class="scoreboard"') && !html.includes("hero-figure"));
  // Claims that were not run are folded: one line for each reason.
  const claims = html.slice(at("claims"), html.indexOf("</section>", at("claims")));
  const lines = [...claims.matchAll(/<details class="folded"><summary>([^<]*)/g)];
  assert.equal(new Set(lines.map(([, line]) => line)).size, lines.length);
  assert.ok(lines.length > 1 && lines.length < 9, `${lines.length} lines`);
  assert.ok(claims.indexOf("<table") > claims.indexOf("<details"), "no row stands open");
});

Deno.test("a command breaks before its options only", () => {
  const html = renderHtml([sampleResult({ contexts: [8192] })]);
  const commands = [...html.matchAll(/<code class="command">(.*?)<\/code>/g)];
  assert.ok(commands.length > 2);
  for (const [, command] of commands) {
    for (const [, part] of command.matchAll(/<span class="(?:nb|long)">(.*?)<\/span>/g)) {
      assert.match(part, /^(deno|--?[a-z])/);
    }
  }
});

Deno.test("clock, power and energy are shown for cases with device readings, and only there", async () => {
  const result = sampleResult({ contexts: [8192, 16_384] });
  assert.ok(!renderHtml([result]).includes("Energy of a token"));
  const record = result.cases[0];
  record.statistic!.median = 4.096;
  record.samples.forEach((sample, i) => Object.assign(sample, { clockMHz: 1900 + 10 * i }));
  record.samples[0].powerWatts = 500;
  record.samples[1].powerWatts = 700;
  const html = renderHtml([result]);
  // 600 W for 4.096 s over 8,192 tokens.
  const row = /<span class="case" id="latency\/dense\/forward\/N8192[^]*?<tr>/.exec(
    html.slice(html.indexOf('id="samples"')),
  )![0];
  assert.ok(row.includes("<td>1,920 MHz<td>600 W<td>300 mJ"), row);
  const saved = await saveAll(html);
  const csv = saved.find(({ name }) => name === "latency-figure.csv")!.text;
  assert.match(csv, /clock_mhz,power_watts,joules_per_token,at_power_limit\r\n/);
  assert.match(csv, /,1920,600,0\.3,0\r\n/);
});

Deno.test("a page limits its figures of stages, whatever ran", () => {
  const result = sampleResult({ contexts: [8192] });
  const layer = result.cases.find(({ scorer }) => scorer === "norm")!;
  for (let i = 0; i < 100; i++) {
    result.cases.push({ ...layer, id: `${layer.id}-${i}`, implementation: `lighthouse-x${i}` });
  }
  const html = renderHtml([result]);
  assert.equal(html.match(/<figure id="stages-figure-/g)!.length, 16);
  assert.match(html, /Stages of 85 further settings/);
});

Deno.test("renderHtml shows the paper's point as the paper's", () => {
  const html = renderHtml([sampleResult({ contexts: [2048, 8192], software: true })]);
  assert.match(html, /paper: 21\.0×/);
  assert.match(html, /not a measurement of this run/);
  assert.match(html, /Nearest point, on a software adapter: [\d.]+× \([\d.–]+×\) at 8K/);
});

Deno.test("every chart has a title, a text alternative, axis labels, its table and its numbers", async () => {
  const result = sampleResult({ extras: true, sweeps: true, variants: true });
  const html = renderHtml([{ ...result, retrieval: sampleRetrieval() }]);
  const figures = html.match(/<figure [^]*?<\/figure>/g)!;
  assert.ok(figures.length >= 30, `${figures.length} figures`);
  const saved = await saveAll(html);
  assert.equal(saved.length, 2 * figures.length + 1);
  for (const [index, figure] of figures.entries()) {
    assert.match(figure, /<figcaption id="[^"]+">[^<]+/);
    const drawings = figure.match(/<svg class="drawing[^>]*>/g)!;
    assert.equal(drawings.length, figure.includes('class="drawing compact') ? 2 : 1);
    const id = /^<figure id="([^"]+)"/.exec(figure)![1];
    for (const drawing of drawings) {
      assert.ok(drawing.includes(`role="img" aria-labelledby="${id}-title ${id}-text"`));
    }
    assert.match(figure, new RegExp(`<p id="${id}-text" hidden>[^<]{20,}`));
    assert.match(figure, /<text class="title"[^>]*>[^<]/);
    assert.match(figure, /<details class="data">[^]*<table[^>]*>[^]*<td/);
    assert.match(figure, /<p class="export" data-at="\d+">/);
    const [csv, json] = saved.slice(2 * index);
    assert.deepEqual([csv.name, json.name], [`${id}.csv`, `${id}.json`]);
    const { rows } = JSON.parse(json.text) as { rows: Record<string, unknown>[] };
    assert.ok(rows.length > 0, `${id} has no numbers`);
    assert.ok(csv.text.split("\r\n").length >= rows.length + 2, id);
    const columns = Object.keys(rows[0]);
    assert.ok(csv.text.startsWith(`${columns.join()}\r\n`), id);
    assert.ok(rows.every((row) => Object.keys(row).length === columns.length), id);
    const found = rows.flatMap((row) => Object.values(row)).filter((cell) =>
      typeof cell === "number"
    );
    assert.ok(found.length >= rows.length, `${id} exports text for numbers`);
  }
  const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length, "ids are unique");
});

Deno.test("no coordinate of a chart is NaN or infinite, for any missing field", () => {
  const lean = sampleResult({ contexts: [8192] });
  lean.calibration = null;
  const odd = sampleResult({ contexts: [8192, 16_384] });
  Object.assign(odd.cases[0].statistic!, { low: 0, min: 0 });
  odd.cases[1].stages = [];
  odd.cases[2].bytes = 0;
  odd.cases[3].flops = 0;
  const untimed = sampleResult({ contexts: [8192], variants: true });
  untimed.cases.forEach(({ contextParallel }) =>
    contextParallel?.steps.forEach((step) => step.shardSeconds = [])
  );
  for (
    const result of [
      lean,
      odd,
      untimed,
      sampleResult({ contexts: [] }),
      sampleResult({ contexts: [1024] }),
      sampleResult({ variants: true }),
    ]
  ) {
    const html = renderHtml([result]);
    assert.ok(
      !/(NaN|Infinity|undefined|\[object)/.test(
        markup(html).replace(/<script>[^]*?<\/script>/, ""),
      ),
    );
  }
});

Deno.test("renderHtml makes no request", () => {
  const html = markup(renderHtml([sampleResult({ extras: true, sweeps: true }), sampleResult()]))
    // The icon is in the page itself.
    .replace(/<link rel="icon" href="data:image[^"]*"/, "");
  assert.ok(
    !/\b(src|href|action|poster|xlink:href)="(?!#)/.test(html),
    "only links inside the page",
  );
  assert.ok(!/<(link|iframe|object|embed|img|base)\b/i.test(html));
  assert.ok(!/@import|url\(/.test(renderHtml([sampleResult()])));
});

Deno.test("the policy allows this module's one script and no other", () => {
  const html = renderHtml([sampleResult({ contexts: [8192] })]);
  const scripts = [...html.matchAll(/<script>([^]*?)<\/script>/g)];
  assert.equal(scripts.length, 1);
  const hash = createHash("sha256").update(scripts[0][1]).digest("base64");
  const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(html)![1];
  assert.match(policy, /^default-src 'none';/);
  assert.ok(policy.includes(`script-src 'sha256-${hash}'`));
});

Deno.test("the embedded JSON is the result, whole", async () => {
  const result = sampleResult({ contexts: [8192] });
  result.notes.push("</script><!-- <script> & \u2028 é");
  const html = renderHtml([result]);
  const saved = (await saveAll(html)).at(-1)!;
  assert.deepEqual(saved, { name: "result-1.json", text: JSON.stringify(result) });
  assert.ok(!html.includes(JSON.stringify(result.notes.at(-1))));
});

Deno.test("a result with HTML in every string is harmless", async () => {
  const result = hostileResult();
  const clean = sampleResult({ extras: true, sweeps: true, variants: true });
  for (
    const html of [
      renderHtml([result]),
      renderHtml([result, clean]),
      renderHtml([result], { title: ATTACK }),
    ]
  ) {
    const own = /<script>[^]*?<\/script>/;
    const tags = [...html.replace(own, "<script></script>").matchAll(/<(\/?[a-zA-Z!][^\s>]*)/g)]
      .map(([, name]) => name.toLowerCase());
    const allowed = new Set(
      ("!doctype html head meta title style body script nav main header section footer a span ul li h1 h2 h3 p " +
        "table caption thead tbody tr th td details summary dl dt dd code div strong sup figure figcaption svg g " +
        "path line text rect circle button use defs link template").split(" ").flatMap((
          name,
        ) => [name, `/${name}`]),
    );
    // A packed part can have packed rows in it.
    const rows = (await packedRowsOf(html))
      .replaceAll(/<template class="rows" data-at="\d+"><\/template>/g, "");
    const inRows = [...rows.matchAll(/<(\/?[a-zA-Z!][^\s>]*)/g)].map(([, name]) => name);
    assert.ok(!inRows.some((name) => /^(script|style|template|button)/.test(name)));
    assert.deepEqual([...new Set([...tags, ...inRows].filter((name) => !allowed.has(name)))], []);
    assert.equal(tags.filter((name) => name === "style").length, 1);
    const data = html.match(/<script type="application\/json[^"]*"/g)!.length;
    assert.equal(tags.filter((name) => name === "script").length, data + 1);
    assert.equal(tags.filter((name) => name === "/script").length, data + 1);
    const attributes = [...`${html}${rows}`.matchAll(/<[a-z][^<>]*>/g)].join("").replace(
      /"[^"]*"/g,
      '""',
    );
    assert.ok(!/\son\w+\s*=/i.test(attributes), "no event handler outside a quoted value");
    // deno-lint-ignore no-control-regex
    assert.ok(!/[\u0000\u202e]/.test(markup(html)));
  }
});

Deno.test("the same results give the same bytes", () => {
  const once = () =>
    renderHtml([sampleResult({ extras: true, sweeps: true }), sampleResult({ software: true })]);
  assert.equal(once(), once());
});

Deno.test("a result of 150 cases with 10 samples each stays below 1 MB", () => {
  const result = sampleResult({ extras: true, sweeps: true, samples: 10 });
  // A large grid over L, p and context fills the rest.
  const grid: CaseRecord[] = [8192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288].flatMap((
    context,
  ) =>
    [3, 4].flatMap((levels) =>
      [2, 4, 8].flatMap((pooling) =>
        [1536, 2048, 4096].map((k) =>
          sampleCase(context, { samples: 10, lighthouse: { levels, pooling, k, scorer: "norm" } })
        )
      )
    )
  );
  result.cases.push(...grid.slice(0, 150 - result.cases.length));
  assert.equal(result.cases.length, 150);
  const { length } = new TextEncoder().encode(renderHtml([result]));
  assert.ok(length < 1e6, `${length} bytes`);
});

Deno.test("a result of the paper's profile, all scorers and both directions, stays below 1 MB", () => {
  const result = sampleResult({ extras: true, sweeps: true, variants: true, samples: 10 });
  const grid = [2, 3, 4, 5].flatMap((levels) =>
    [2, 4, 8].flatMap((pooling) =>
      [768, 1536, 2048, 3072, 4096, 6144].map((k) =>
        sampleCase(98_304, {
          samples: 10,
          sweeps: ["grid"],
          lighthouse: { levels, pooling, k, scorer: "norm" },
        })
      )
    )
  );
  const seen = new Set(result.cases.map(({ id }) => id));
  result.cases.push(...grid.filter(({ id }) => !seen.has(id)));
  assert.ok(result.cases.length > 150, `${result.cases.length} cases`);
  const { length } = new TextEncoder().encode(renderHtml([result]));
  assert.ok(length < 1e6, `${length} bytes`);
});

Deno.test("a result with every variant has a figure for each direction and a section for each subject", () => {
  const html = renderHtml([sampleResult({ variants: true, sweeps: true })]);
  for (
    const id of [
      "findings",
      "memory",
      "selection",
      "context-parallel",
      "latency-figure",
      "latency-figure-forward-backward",
      "speed-up-figure-forward-backward",
      "memory-figure",
      "agreement-figure",
      "context-parallel-figure",
    ]
  ) assert.ok(html.includes(` id="${id}"`), id);
  const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length, "ids are unique");
});

Deno.test("the figure draws the worst of hundreds of checked quantities, the table has all", () => {
  const result = sampleResult({ contexts: [8192] });
  result.cases[0].check!.parts = Array.from({ length: 300 }, (_, i) => ({
    name: `quantity ${i}`,
    passed: true,
    maxError: i / 300,
    tolerance: 1,
  }));
  const html = renderHtml([result]);
  const figure = /<figure id="correctness-figure"[^]*?<\/figure>/.exec(html)![0];
  assert.match(figure, /, the 12 largest of 30\d</);
  assert.equal(figure.match(/<g data-s="\d+" style="color/g)!.length, 2 * 12);
  assert.ok(/>dense quantity 299</.test(figure) && /<th [^>]*>dense quantity 0</.test(figure));
});

Deno.test("renderHtml refuses an empty list", () => {
  assert.throws(() => renderHtml([]), /cannot render a report of 0 results/);
});

Deno.test("a long table has its first rows in the page and the others packed, every case once", async () => {
  const contexts = Array.from({ length: 100 }, (_, i) => 512 * (i + 1));
  const result = sampleResult({ contexts });
  const html = renderHtml([result]);
  const section = /<section id="correctness">[^]*?<\/section>/.exec(html)![0];
  assert.match(section, /<p class="more-rows">40 of [\d,]+ rows<\/p>/);
  const all = html.replace(/<script[^]*?<\/script>/g, "") + await packedRowsOf(html);
  const checked = result.cases.filter(({ check }) => check);
  for (const { id } of checked) assert.ok(all.includes(`data-case="${id}"`), id);
  const shown = section.match(/data-case="/g)!.length;
  assert.equal(shown, 40);
  assert.ok(html.length < 2e6, `${html.length} bytes for ${result.cases.length} cases`);
});
