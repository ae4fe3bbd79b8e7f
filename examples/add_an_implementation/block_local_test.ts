import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import {
  type Gpu,
  IMPLEMENTATIONS,
  renderMarkdown,
  renderReport,
  renderTerminal,
  runSuite,
  verify,
} from "../../mod.ts";
import { diagnoseStack } from "../../suites/mod.ts";
import { compareResults } from "../../reports/gate/compare_results.ts";
import { planSite } from "../../reports/site/runs.ts";
import { blockLocal } from "./block_local.ts";

// With the line of step 3 the registry has it already.
const OTHERS = IMPLEMENTATIONS.filter(({ name }) => name !== blockLocal.name);
const REGISTRY = [...OTHERS, blockLocal];

function bench(gpu: Gpu, registry = REGISTRY) {
  return runSuite({
    gpu,
    registry,
    suites: ["latency"],
    implementations: ["dense", "block-local"],
    contexts: [512],
    directions: ["forward"],
    options: { block: [64, 128] },
    samples: 2,
  });
}

Deno.test("block-local attention is verified against float64", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const golden = { selection: [], forward: [] };
  const { checks, failed } = await verify(gpu, {
    registry: [blockLocal],
    quick: true,
    golden: golden as never,
  });
  assert.equal(failed, 0, checks.find(({ status }) => status === "failed")?.detail);
  const own = checks.filter(({ name }) => name.startsWith("block-local"));
  assert.ok(own.length > 10, `${own.length} checks`);
  // A row that should attend to one more key, or to all earlier keys, must fail the check.
  const more = { ...blockLocal, visible: undefined };
  const { failed: wrong } = await verify(gpu, {
    registry: [more],
    quick: true,
    golden: golden as never,
  });
  assert.ok(wrong > 0);
  gpu.destroy();
});

Deno.test("block-local attention is timed, drawn, gated and planned from its descriptor", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const result = await bench(gpu);
  const own = result.cases.filter(({ implementation }) => implementation === "block-local");
  assert.deepEqual(own.map(({ id }) => id.replace(/-(f16|f32)/, "")), [
    "correctness/block-local/forward/N193-H2-d64-b64",
    "correctness/block-local/forward/N193-H2-d64-b128",
    "latency/block-local/forward/N512-H1-d64-b64",
    "latency/block-local/forward/N512-H1-d64-b128",
  ]);
  for (const { status, check } of own) {
    assert.equal(status, "ok");
    assert.equal(check?.passed, true);
  }
  const html = renderReport(result);
  assert.ok(html.includes(blockLocal.style!.color.light));
  for (const text of [html, renderMarkdown([result]), renderTerminal(result)]) {
    assert.match(text, /block-local/);
  }
  const again = { ...structuredClone(result), startedAt: "2026-01-01T00:00:00.000Z" };
  const gate = compareResults(result, again);
  assert.ok(own.every(({ id }) => gate.cases.some((one) => one.id === id)));
  const site = planSite([{ name: "run", result }]);
  assert.equal(site.devices.length, 1);
  const { largest } = await diagnoseStack("deno", { registry: REGISTRY, gpu });
  assert.ok(largest!.find(({ implementation }) => implementation === "block-local")!.context);
  gpu.destroy();
});

Deno.test("a block-local kernel that attends to other keys than declared fails its case", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const liar = { ...blockLocal, visible: (row: number) => [{ first: 0, end: row + 1 }] };
  const result = await bench(gpu, [...OTHERS, liar]);
  const own = result.cases.filter(({ implementation }) => implementation === "block-local");
  assert.ok(own.length > 0);
  assert.ok(own.every(({ status }) => status !== "ok"), own.map(({ status }) => status).join());
  gpu.destroy();
});

Deno.test({
  ...slow("a long block passes its check on every device"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const result = await runSuite({
      gpu,
      registry: REGISTRY,
      suites: ["latency"],
      implementations: ["block-local"],
      contexts: [512],
      directions: ["forward"],
      options: { block: [512] },
      samples: 2,
    });
    assert.ok(result.cases.length > 0);
    for (const { id, status, reason } of result.cases) {
      assert.equal(status, "ok", `${id}: ${reason}`);
    }
    gpu.destroy();
  },
});

Deno.test("a layer without a block length is refused", () => {
  const problem = { shape: { heads: 1, context: 64, headDim: 32, dtype: "f32" as const } };
  const gpu = { capabilities: {} } as never;
  assert.throws(() => blockLocal.plan(gpu, problem), /^RangeError: plan block-local: /);
});
