import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { UsageError } from "../errors.ts";
import { countChecks } from "./instrument.ts";
import { measurePart } from "./measure_part.ts";
import { retrievalProfile } from "./profile.ts";
import { retrievalCellSchema } from "./record.ts";
import { planRetrieval } from "./retrieval_plan.ts";

const PROFILE = retrievalProfile({
  profile: "rivals",
  contexts: [2048],
  depths: [50, 100],
  margins: [10],
  trials: 10,
  headDim: 32,
});

Deno.test("planRetrieval: rivals are a part of their own, which named implementations narrow", () => {
  const { parts, skipped } = planRetrieval(PROFILE);
  assert.deepEqual(parts.map(({ name }) => name), ["grid", "rivals"]);
  assert.deepEqual(skipped, []);
  const [, rivals] = parts;
  assert.equal(countChecks(rivals), 0);
  const own = ["sliding-window", "bigbird", "moba", "nsa", "dsa", "hisa"];
  for (const { arms } of rivals.settings) {
    assert.deepEqual(arms.map(({ name }) => name), ["dense", "random", "lighthouse-norm", ...own]);
    assert.ok(arms.slice(0, 3).every(({ reference }) => reference));
  }
  // At a context without room for a layer's settings the others remain, and the reason is said.
  const short = { ...PROFILE, contexts: [2048], rivals: ["nsa", "dsa"] };
  assert.equal(planRetrieval(short).parts[1].settings[0].arms.length, 5);
  const named = retrievalProfile({ profile: "smoke", implementations: ["dense", "moba"] });
  assert.deepEqual([named.rivals, named.scorers], [["moba"], []]);
  const all = retrievalProfile({ profile: "smoke", implementations: ["dense", "lighthouse-norm"] });
  assert.deepEqual([all.rivals, all.scorers], [undefined, ["norm"]]);
  assert.equal(retrievalProfile({ profile: "smoke" }).rivals, undefined);
  assert.throws(
    () => retrievalProfile({ profile: "rivals", contexts: [1000] }),
    (error) => error instanceof UsageError && /context 1000/.test(error.message),
  );
});

Deno.test("measurePart: rivals find needles where their pattern or index reaches, the same every time", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const [, part] = planRetrieval(PROFILE).parts;
  const options = {
    profile: PROFILE,
    seed: 5,
    dtype: "f32" as const,
    checks: 1,
    late: () => false,
  };
  const { cells, instrument, laws, cut } = await measurePart(gpu, part, options);
  assert.deepEqual([instrument, laws, cut], [[], [], undefined]);
  assert.deepEqual((await measurePart(gpu, part, options)).cells, cells);
  for (const cell of cells) {
    retrievalCellSchema.parse(cell);
    assert.equal(cell.trials, 10);
    assert.ok(cell.layer && !cell.lighthouse);
    assert.deepEqual(cell.paired.map((pair) => pair.with), ["dense", "random", "lighthouse-norm"]);
    assert.equal(cell.querySelected, 10);
    assert.equal(cell.lost.needle + cell.lost.diluted, 10 - cell.correct);
    if (cell.needleSelected === 0) assert.equal(cell.mass, 0);
  }
  const found = (arm: string, depth: number) =>
    cells.find((cell) => cell.sweep === "grid" && cell.arm === arm && cell.depth === depth)!;
  const arms = [...new Set(cells.map(({ arm }) => arm))];
  // The row before the last is in every window, own block and list.
  assert.ok(arms.every((arm) => found(arm, 100).needleSelected === 10));
  assert.ok(arms.every((arm) => found(arm, 100).correct === 10));
  assert.equal(found("sliding-window", 50).needleSelected, 0);
  assert.equal(found("bigbird", 50).needleSelected, 0);
  // The index ranks by the logits themselves, of which this needle's is the largest.
  assert.equal(found("dsa", 50).needleSelected, 10);
  assert.equal(found("dsa", 50).correct, 10);
  assert.equal(found("dsa", 50).attended, 36);
  gpu.destroy();
});
