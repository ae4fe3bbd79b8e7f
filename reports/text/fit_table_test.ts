import assert from "node:assert/strict";
import fc from "fast-check";
import { fitTable, renderTable, wrapWords } from "./fit_table.ts";

const columns = [
  { title: "Context", numeric: true },
  { title: "Implementation", least: 14, cut: "middle" as const },
  { title: "Median", numeric: true },
  { title: "95 % interval", numeric: true, drop: 2 },
  { title: "Tokens/s", numeric: true, drop: 1 },
];
const rows = [
  ["512K", "lighthouse-norm, forward-backward", "19.0 s", "18.9–19.1 s", "27.6 ktok/s"],
  ["8K", "dense", "4.06 ms", "4.06 ms", "2.02 Mtok/s"],
];

Deno.test("fitTable leaves out columns in their order, then shortens cells", () => {
  const titles = (width?: number) => fitTable({ columns, rows }, width).columns.map((c) => c.title);
  const all = columns.map(({ title }) => title);
  assert.deepEqual(titles(), all);
  assert.deepEqual(titles(87), all);
  assert.deepEqual(titles(86), all.slice(0, 4));
  assert.deepEqual(titles(72), all.slice(0, 3));
  const narrow = fitTable({ columns, rows }, 50);
  assert.deepEqual(narrow.rows[0], ["512K", "lighthouse-no…ard-backward", "19.0 s"]);
  assert.deepEqual(narrow.rows[1], ["8K", "dense", "4.06 ms"]);
});

Deno.test("renderTable: lines have one width, colours take no room, nothing wraps", () => {
  const text = renderTable({ columns, rows }, {
    width: 50,
    paint: (cell, title) => title === "Median" ? `\u001b[32m${cell}\u001b[0m` : cell,
  });
  assert.ok(text.includes("\u001b[32m4.06 ms\u001b[0m"));
  // deno-lint-ignore no-control-regex
  const widths = text.split("\n").map((line) => line.replace(/\u001b\[\d+m/g, "").length);
  assert.deepEqual(widths, Array(rows.length + 4).fill(50));
});

Deno.test("fitTable fits any cells, if the columns allow it", () => {
  const cell = fc.string({ maxLength: 60, unit: "grapheme-ascii" });
  fc.assert(
    fc.property(fc.array(fc.tuple(cell, cell, cell), { minLength: 1 }), (rows) => {
      const columns = [
        { title: "A", least: 8 },
        { title: "B", least: 8, cut: "middle" as const },
        { title: "C", drop: 1 },
      ];
      const fitted = fitTable({ columns, rows }, 40);
      const width = renderTable(fitted).split("\n")[0].length;
      assert.ok(width <= 40, String(width));
      assert.equal(fitted.rows.length, rows.length);
    }),
  );
});

Deno.test("wrapWords breaks between words and indents what follows", () => {
  assert.equal(wrapWords("one two three", 9, "  "), "one two\n  three");
  assert.equal(wrapWords("  one two three", 9, "  "), "  one two\n  three");
  assert.equal(wrapWords("one two three"), "one two three");
  assert.equal(wrapWords("abcdefghijkl mn", 5, "  "), "abcdefghijkl\n  mn");
});
