import assert from "node:assert/strict";
import { readDocs } from "./doc_files.ts";
import { docPages } from "./doc_pages.tsx";

const textOf = (files: Parameters<typeof docPages>[0], path: string) =>
  docPages(files).find((page) => page.path === path)!.text;

Deno.test("docPages: raw HTML and addresses of other schemes are text", () => {
  const text = textOf([{
    path: "docs/a.md",
    text: [
      "# A <b>title</b>",
      "<script>alert(1)</script>",
      "",
      "An <img src=x onerror=alert(1)> inside, `<i>code</i>`, ![pic](javascript:alert(1)).",
      "",
      "[one](javascript:alert(1)) [two](data:text/html,x) [three](JAVASCRIPT:alert(1)) " +
      '[four](https://example.org/?q="><script>) [five](<vbscript:x>) [six](//evil.example/x)',
      "",
      "| a | b |",
      "| - | -: |",
      "| <u>x</u> | 1 |",
    ].join("\n"),
  }], "docs/a.html");
  const body = text.slice(text.indexOf("<main"), text.indexOf("</main>"));
  assert.doesNotMatch(body, /<(script|img|i|u|b)\b/);
  const hrefs = [...body.matchAll(/ href="([^"]*)"/g)].map(([, href]) => href);
  const outside = hrefs.filter((href) => /:/.test(href));
  assert.deepEqual(outside, ["https://example.org/?q=%22%3E%3Cscript%3E"]);
  assert.ok(!hrefs.some((href) => href.includes("evil")));
  assert.match(body, /&lt;script&gt;alert\(1\)&lt;\/script&gt;/);
});

Deno.test("docPages: links between documents lead to their pages, with anchors", () => {
  const files = [
    {
      path: "docs/a.md",
      text: "# A\n\n[m](../suites/METHOD.md#the-part) [x](../src/code.ts) [t](#a)",
    },
    {
      path: "suites/METHOD.md",
      text: "# Method\n\n## The part\n\n## The part\n\n[a](../docs/a.md)",
    },
    { path: "kernels/x/TUNING.md", text: "# One\n\nText." },
    { path: "kernels/y/TUNING.md", text: "# Two\n\nText." },
  ];
  const a = textOf(files, "docs/a.html");
  assert.match(a, / href="..\/docs\/method\.html#the-part"/);
  assert.doesNotMatch(a, /code\.ts/);
  const method = textOf(files, "docs/method.html");
  assert.match(method, / id="the-part"/);
  assert.match(method, / id="the-part-1"/);
  assert.deepEqual(docPages(files).map(({ path }) => path), [
    "docs/index.html",
    "docs/a.html",
    "docs/method.html",
    "docs/tuning.html",
    "docs/kernels-y-tuning.html",
  ]);
});

Deno.test("docPages: every link of this project's documents leads somewhere", async () => {
  const files = await readDocs(new URL("../../", import.meta.url));
  assert.ok(files.some(({ path }) => path === "docs/glossary.md"));
  const pages = new Map(docPages(files).map(({ path, text }) => [path, text]));
  assert.equal(pages.size, files.length + 1);
  for (const [path, text] of pages) {
    const body = text.slice(text.indexOf("<main"), text.indexOf("</main>"));
    for (const [, href] of body.matchAll(/ href="([^"]*)"/g)) {
      if (/^https?:/.test(href)) continue;
      const url = new URL(href, `file:///${path}`);
      const target = pages.get(url.pathname.slice(1));
      assert.ok(target !== undefined, `${path}: ${href}`);
      if (url.hash !== "") {
        assert.ok(target.includes(` id="${url.hash.slice(1)}"`), `${path}: ${href}`);
      }
    }
    const ids = [...body.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    assert.equal(new Set(ids).size, ids.length, `${path}: ids are unique`);
  }
});

Deno.test("docPages: a site without documents says so", () => {
  const [index, ...none] = docPages([]);
  assert.deepEqual(none, []);
  assert.match(index.text, /made without the project’s documents/);
});
