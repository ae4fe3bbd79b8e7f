import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { ASSUMED_DEVICE, describeMemory, planMemory } from "./memory_plan.ts";
import type { PlanOptions } from "./plan_options.ts";

const plan = (options: Partial<PlanOptions>, device = ASSUMED_DEVICE) =>
  planMemory({ profile: "paper", ...options }, device, IMPLEMENTATIONS);

Deno.test("both directions of every implementation fit an H100 at 512K in f16", () => {
  const cases = plan({ contexts: [524288], directions: ["forward", "forward-backward"] });
  // Both directions of dense, three scorers, and two or three presets of each sparse attention.
  assert.equal(cases.length, 2 * (1 + 3 + 3 + 3 + 3 + 2 + 2 + 2));
  for (const { name, buffers, peakBytes, leastBytes, fits, reason } of cases) {
    if (reason) {
      // As many random blocks, or tokens, as would match Lighthouse here; queries of 16 blocks
      // each.
      assert.ok(
        [
          "plan bigbird: randomBlocks 140 exceeds the limit of 32",
          "plan attention over gathered queries: gathered queries need a binding of 2.25 GiB",
          "plan token index: lists of 9216 tokens of 524288 queries take 18 GiB; the limit is 5 GiB",
        ].some((known) => reason.startsWith(known)),
        `${name}: ${reason}`,
      );
      continue;
    }
    assert.ok(fits, name);
    assert.equal(buffers!.reduce((sum, { bytes }) => sum + bytes, 0), peakBytes);
    const tensors = name.includes("backward") ? 8 : 4;
    assert.equal(leastBytes, tensors * 524288 * 8 * 128 * 2);
    assert.ok(peakBytes > leastBytes);
  }
});

Deno.test("a layer that does not fit is planned too, with the excess bytes", () => {
  const small = { ...ASSUMED_DEVICE, deviceMemoryBytes: 2 ** 30 };
  const [dense] = plan(
    { contexts: [524288], implementations: ["dense"], directions: ["forward"] },
    small,
  );
  assert.equal(dense.fits, false);
  const lines = describeMemory([dense], { device: small, bytes: (bytes) => `${bytes} B` });
  assert.ok(
    lines.some((line) => line.includes(`does not fit: ${dense.peakBytes - 966367641} B too`)),
  );
  assert.ok(
    lines.some((line) => /^ {2}log-sum-exp +16777216 B {2}16777216$/.test(line)),
    lines.join("\n"),
  );
});

Deno.test("a layer that cannot be computed is one line", () => {
  assert.throws(
    () => plan({ contexts: [8192], scorers: ["norm"], options: { k: [200] } }),
    (error) => error instanceof UsageError && /k 200 is not a multiple of 128/.test(error.message),
  );
  const some = plan({
    contexts: [8192],
    scorers: ["norm"],
    options: { k: [128, 200] },
    directions: ["forward"],
  });
  const lines = describeMemory(some, { device: ASSUMED_DEVICE, bytes: String });
  assert.ok(lines.some((line) => line.startsWith("  cannot be computed: plan lighthouse: k 200")));
});
