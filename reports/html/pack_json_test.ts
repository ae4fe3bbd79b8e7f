import assert from "node:assert/strict";
import fc from "fast-check";
import { saveAll } from "./_page_script.ts";
import { packJson } from "./pack_json.ts";

/** The saved file of a packed value. */
async function saved(value: unknown): Promise<string> {
  const packed = packJson(JSON.stringify(value));
  const html = `<button data-result="r"></button>` +
    `<script type="application/json+x" id="r">${packed}</script>`;
  return (await saveAll(html))[0].text;
}

Deno.test("packJson: what the page saves is the same JSON to the byte", async () => {
  const record = (extra: object) => ({ a: 1, ...extra, z: [1, 2, 3, 4].map((n) => [n, "x"]) });
  const values: unknown[] = [
    [{ a: 1 }, {}, { a: null }, { b: 2 }],
    [record({}), record({ m: { n: 1 } }), record({}), record({ m: { n: 2 }, y: [] })],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, { a: 1 }, { a: 1 }],
    [[1, "a"], [2, null], [3, { "": 0 }], [4, "d"]],
    [[], [], [], []],
    [{}, {}, {}, {}],
    [{ "": 0 }, { "": 0 }, { "": 0 }, { "": 0 }],
    { "": [["a"], [[1]]] },
    JSON.parse('[{"__proto__":1},{"__proto__":2},{"__proto__":3},{"__proto__":4}]'),
    ['"":'],
  ];
  for (const value of values) assert.equal(await saved(value), JSON.stringify(value));
});

Deno.test("packJson: lists of any records survive, with optional fields", async () => {
  const field = fc.constantFrom("a", "b", "c", "", "constructor");
  const cell = fc.oneof(fc.integer(), fc.string(), fc.constant(null), fc.array(fc.integer()));
  const rows = fc.array(
    fc.oneof({ weight: 9, arbitrary: fc.dictionary(field, cell) }, { weight: 1, arbitrary: cell }),
    { minLength: 3, maxLength: 9 },
  );
  await fc.assert(
    fc.asyncProperty(rows, async (value) => {
      assert.equal(await saved(value), JSON.stringify(value));
    }),
    { numRuns: 200, seed: 1 },
  );
});

Deno.test("packJson: similar records take half the space", () => {
  const random = (i: number) => (Math.imul(i, 2654435761) >>> 8) / 2 ** 24;
  const rows = Array.from({ length: 500 }, (_, i) => ({
    context: 2 ** (i % 9),
    needle: random(i),
    ...(i % 3 === 0 ? { lighthouse: { levels: 3, pooling: 4 } } : {}),
    interval: { low: random(i + 1), high: random(i + 2) },
  }));
  const plain = packJson(JSON.stringify({ "": 0, rows }));
  assert.ok(packJson(JSON.stringify({ rows })).length < 0.8 * plain.length);
});
