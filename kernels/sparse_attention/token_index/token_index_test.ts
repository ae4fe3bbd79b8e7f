import assert from "node:assert/strict";
import { DESK } from "../../gpu/_desk_device.ts";
import { planTokenIndex, type TokenIndex } from "./token_index.ts";
import { listLength } from "./top_tokens.ts";

Deno.test("planTokenIndex counts the pairs and the scores of every query", () => {
  const index = { heads: 4, dim: 32, dtype: "f32" } as const;
  for (const rows of [1, 7, 64, 193]) {
    for (const width of [1, 5, 48, 200]) {
      for (
        const candidates of [undefined, { blockRows: 16, blockCount: 4 }, {
          blockRows: 7,
          blockCount: 2,
        }]
      ) {
        const { pairs, stages } = planTokenIndex(DESK, { ...index, rows, width, candidates });
        const sum = (most: number) =>
          Array.from({ length: rows }, (_, row) => listLength({ width: most, candidates }, row))
            .reduce((a, b) => a + b);
        assert.equal(pairs, sum(width));
        const { flops } = stages.find(({ name }) => name === "index")!;
        assert.equal(flops, 2 * 4 * 32 * sum(Infinity));
      }
    }
  }
});

Deno.test("strips cover all queries, their buffers fit a binding, lists begin where a binding may", () => {
  const plan = (more: Partial<TokenIndex>, maxBindingBytes = 2 ** 31 - 4) =>
    planTokenIndex({ ...DESK, capabilities: { ...DESK.capabilities, maxBindingBytes } }, {
      rows: 131072,
      heads: 4,
      dim: 128,
      dtype: "f16",
      width: 2048,
      ...more,
    });
  for (
    const found of [
      plan({}),
      plan({}, 2 ** 27),
      plan({ rows: 524288, candidates: { blockRows: 128, blockCount: 64 } }),
      plan({ rows: 5000, width: 77 }),
    ]
  ) {
    const { strips, rows, listRows, width, stride, buffers } = found;
    let end = 0;
    for (const { firstRow, endRow } of strips) {
      assert.equal(firstRow, end);
      // No strip crosses two buffers of lists.
      assert.equal(Math.floor(firstRow / listRows), Math.floor((endRow - 1) / listRows));
      assert.equal(firstRow * width * 4 % 256, 0);
      end = endRow;
    }
    assert.equal(end, rows);
    assert.ok(strips.length <= 2048 && stride % 4 === 0);
    const scores = buffers.find(({ name }) => name === "scores of a strip")!;
    assert.ok(scores.bytes <= 2 ** 31 - 4);
  }
  assert.ok(plan({}).strips.length <= 256);
  assert.throws(() => plan({ rows: 524288, width: 9216 }), {
    name: "RangeError",
    message:
      "plan token index: lists of 9216 tokens of 524288 queries take 18 GiB; the limit is 5 GiB",
  });
});
