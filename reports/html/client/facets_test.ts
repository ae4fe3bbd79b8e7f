import assert from "node:assert/strict";
import { facetsOfCase, facetsOfName, facetsOfRow, passes } from "./facets.ts";

Deno.test("facets: of a case, of a series, of a row", () => {
  const id = "latency/lighthouse-norm/forward-backward/N32768-H8-d128-f16-L3-p4-k512";
  const all = { scorer: "norm", direction: "forward-backward", context: "32768" };
  assert.deepEqual(facetsOfCase(id), all);
  assert.deepEqual(facetsOfCase("no case"), {});
  assert.deepEqual(facetsOfName("lighthouse-gla, forward and backward"), {
    scorer: "gla",
    direction: "forward-backward",
  });
  assert.deepEqual(facetsOfName("dense"), {});
  assert.deepEqual(
    facetsOfRow(["Context", "Series", "Median"], ["32K", "lighthouse-norm", "1 ms"]),
    {
      context: "32768",
      scorer: "norm",
    },
  );
  assert.deepEqual(facetsOfRow(["Case", "Planned"], [id, "1 GiB"]), all);
  assert.deepEqual(
    facetsOfRow(["Series"], ["H100"], new Map([["H100", { device: "NVIDIA H100" }]])),
    { device: "NVIDIA H100" },
  );
});

Deno.test("passes: an unknown value passes, a known one must be the chosen one", () => {
  assert.ok(passes({}, { scorer: "norm" }));
  assert.ok(passes({ scorer: "norm", context: "8192" }, { scorer: "norm" }));
  assert.ok(!passes({ scorer: "gla" }, { scorer: "norm" }));
  assert.ok(!passes({ scorer: "norm", context: "8192" }, { scorer: "norm", context: "16384" }));
});
