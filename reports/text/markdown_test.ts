import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { escapeMarkdown, renderMarkdown } from "./markdown.ts";

Deno.test("renderMarkdown leads with the verdict and keeps every table whole", () => {
  const text = renderMarkdown([sampleResult({ extras: true })]);
  assert.match(text, /^# The 21× holds here: /);
  assert.match(text, /\n> Other hardware and software than the paper: /);
  const tables = text.split("\n\n").filter((block) => block.startsWith("|"));
  assert.equal(tables.length, 5);
  for (const table of tables) {
    const widths = new Set(
      table.split("\n").map((row) => row.replace(/\\\|/g, "").split("|").length),
    );
    assert.equal(widths.size, 1, "every row has the columns of its head");
  }
});

Deno.test("renderMarkdown gives each run its heading", () => {
  const text = renderMarkdown([sampleResult(), sampleResult({ contexts: [8192], software: true })]);
  assert.match(text, /^# Lighthouse Attention Bench: 2 runs\n/);
  assert.match(text, /\n## Run 1: The 21× holds here/);
  assert.match(text, /\n## Run 2: The 21× at 512K was not run/);
});

Deno.test("escapeMarkdown leaves no markup, HTML, mention, link or table break", () => {
  assert.equal(escapeMarkdown("a|b\n# c"), "a\\|b \\# c");
  assert.equal(escapeMarkdown("<img src=x onerror=y>&lt;"), "&lt;img src=x onerror=y&gt;&amp;lt;");
  assert.equal(
    escapeMarkdown("[x](y) ![z] `q` *b* _i_ ~s~"),
    "\\[x\\](y) \\!\\[z\\] \\`q\\` \\*b\\* \\_i\\_ \\~s\\~",
  );
  assert.ok(!/@\w/.test(escapeMarkdown("ping @team")));
  assert.ok(!escapeMarkdown("https://example.org www.example.org").match(/:\/\/|www\./));
});

Deno.test("renderMarkdown keeps a hostile result inside its cells", () => {
  const result = sampleResult({ contexts: [8192], extras: true });
  const hostile = "| x |\n\n# owned <script>alert(1)</script> @all";
  for (const record of result.cases) {
    Object.assign(record, { id: record.id + hostile, reason: hostile });
  }
  result.notes = [hostile];
  result.environment.adapter.description = hostile;
  result.profile = hostile;
  const text = renderMarkdown([result]);
  assert.ok(!/^# owned/m.test(text));
  assert.ok(!text.includes("<script"));
  assert.ok(!text.includes("@all"));
});
