import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { chooseCases } from "../../tools/_cases.ts";
import { type BaselineCase, readGolden } from "../check/golden.ts";
import { checkGoldenBaseline } from "./golden_baselines.ts";
import "../check/_shared_workers.ts";

const golden = await readGolden();
const find = (name: string) => golden.baselines.find((entry) => entry.case === name)!;

/**
 * The shortest case of an attention of each kind of kernel (lists of tiles, gathered queries,
 * gathered tokens), and all that are skipped. The others have tests of their own against float64.
 */
const names = new Set(IMPLEMENTATIONS.map(({ name }) => name));
const DAILY = ["sliding-window", "nsa", "hisa"];
const CHOSEN = chooseCases(
  golden.baselines,
  ({ method, N }) =>
    !names.has(method) ||
    DAILY.includes(method) &&
      golden.baselines.every((other) => other.method !== method || other.N >= N),
  ({ method, N }) => !names.has(method) || N <= 1024,
);

Deno.test(`every golden case of a sparse attention that is computed passes${CHOSEN.note}`, async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const entry of CHOSEN.cases) {
    const checks = await checkGoldenBaseline(gpu, golden, { entry, registry: IMPLEMENTATIONS });
    const want = names.has(entry.method) ? "passed" : "skipped";
    for (const { name, status, detail } of checks) assert.equal(status, want, `${name}: ${detail}`);
  }
  gpu.destroy();
});

Deno.test("a golden case fails where the layer sees other keys, and is skipped where it cannot run", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const registry = IMPLEMENTATIONS;
  const statuses = async (entry: BaselineCase) =>
    (await checkGoldenBaseline(gpu, golden, { entry, registry })).map(({ status }) => status);
  const entry = find("window_320");
  const narrower = { ...entry, options: { ...entry.options, window: 63 } };
  assert.deepEqual(await statuses(narrower), ["failed", "failed"]);
  for (
    const [change, reason] of [
      [{ method: "no-such" }, /no implementation is named no-such/],
      [{ kvHeads: 3 }, /kvHeads 3 does not divide 2 heads/],
      [{ options: { window: 0, sinks: 4 } }, /window 0 is not a whole number from 1/],
    ] as const
  ) {
    const changed = { ...entry, ...change } as BaselineCase;
    const [check] = await checkGoldenBaseline(gpu, golden, { entry: changed, registry });
    assert.equal(check.status, "skipped");
    assert.match(check.detail!, reason);
  }
  gpu.destroy();
});
