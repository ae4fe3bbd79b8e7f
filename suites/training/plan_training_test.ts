import assert from "node:assert/strict";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { STAGE_NAMES } from "../../kernels/training/model/step_stages.ts";
import { PAPER_MODEL, trainingRows } from "../../reports/claims/paper.ts";
import { UsageError } from "../errors.ts";
import { startPlanning } from "../plan/grid.ts";
import { ASSUMED_DEVICE } from "../plan/memory_plan.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import { membersOf, type PlannedDevice } from "../plan/planned_case.ts";
import { PROFILE_NAMES } from "../plan/profile.ts";
import { addStages } from "./own_model.ts";
import { TRAINING_FLAGS } from "./options.ts";
import { planTrainingMemory } from "./plan_memory.ts";
import { planTrainingSuite } from "./plan_training.ts";
import { assumeSeconds } from "./step_cost.ts";

const planning = (options: Partial<PlanOptions> = {}, device: PlannedDevice = ASSUMED_DEVICE) =>
  startPlanning({ profile: "paper", suites: ["training"], ...options }, device, IMPLEMENTATIONS);

const casesOf = (options?: Partial<PlanOptions>, device?: PlannedDevice) =>
  planTrainingSuite(planning(options, device))!.groups.flatMap(membersOf);

const PAPER = casesOf();

Deno.test("planTrainingSuite: the profile `paper` has every row of Tables 1 and 2 that ran alone", () => {
  const cases = PAPER;
  assert.deepEqual(cases.flatMap(({ skip }) => skip ?? []), []);
  assert.equal(new Set(cases.map(({ id }) => id)).size, cases.length);
  for (const row of trainingRows().filter(({ alone }) => alone)) {
    const found = cases.filter(({ scorer, problem: { shape, options = {} }, id }) =>
      scorer === row.scorer && shape.context === row.context && shape.heads === PAPER_MODEL.heads &&
      options.levels === row.levels && options.pooling === row.pooling && options.k === row.k &&
      id.includes(`-l${PAPER_MODEL.layers}-w${PAPER_MODEL.width}-f${PAPER_MODEL.ffn}-V`)
    );
    assert.ok(found.some(({ id }) => id.includes("-V256-")), row.label);
  }
  assert.ok(cases.some(({ id, family }) => family === "dense" && id.includes("-V128256-")));
});

Deno.test("planTrainingSuite: a profile that does not name the suite has no share of it", () => {
  for (const profile of PROFILE_NAMES) {
    assert.equal(planTrainingSuite(planning({ profile, suites: undefined })), undefined, profile);
    if (["smoke", "standard"].includes(profile)) {
      assert.ok(casesOf({ profile }).length >= 2, profile);
    }
  }
});

Deno.test("planTrainingSuite: options choose model, context, vocabulary, mode and layers", () => {
  const settings = {
    training: {
      model: { layers: 6, width: 256, heads: 4, ffn: 384 },
      vocabularies: [256, 512],
      recompute: ["least"],
      batch: 2,
    },
  };
  const options = { k: [256], dilation: [8] };
  const ids = casesOf({ contexts: [8192], scorers: ["dilated"], options, settings })
    .map(({ id }) => id);
  const model = (vocabulary: number) => `-l6-w256-f384-V${vocabulary}-B2-least`;
  assert.deepEqual(
    ids,
    [256, 512].flatMap((vocabulary) => [
      `training/dense/forward-backward/N8192-H4-d64-f16${model(vocabulary)}`,
      "training/lighthouse-dilated/forward-backward/N8192-H4-d64-f16-L3-p4-k256-δ8" +
      model(vocabulary),
    ]),
  );
  const alone = casesOf({ contexts: [8192], implementations: ["dense"] });
  assert.deepEqual(alone.map(({ implementation }) => implementation), ["dense"]);
});

Deno.test("planTrainingSuite: of several models one that does not fit is skipped, with the remedy", () => {
  const device = { ...ASSUMED_DEVICE, deviceMemoryBytes: 29 * 2 ** 30 };
  const cases = casesOf({}, device);
  const skipped = cases.filter(({ skip }) => skip);
  assert.ok(skipped.length > 0 && skipped.length < cases.length);
  assert.match(
    skipped[0].skip!,
    /^plan training: the model needs 30\.6 GiB, 26\.1 GiB may be used: recompute least needs/,
  );
  assert.throws(() => casesOf({}, { ...ASSUMED_DEVICE, deviceMemoryBytes: 2 ** 30 }), UsageError);
});

Deno.test("stages of a step are its classes of work, and bound what a device is assumed to take", () => {
  const [dense, norm] = PAPER;
  assert.deepEqual(dense.plan!.stages.map(({ name }) => name), [...STAGE_NAMES]);
  const work = (entry: typeof dense, name: string) =>
    entry.plan!.stages.find((stage) => stage.name === name)!.flops;
  // The specification: 158 TFLOP of products and, with `light`, what is computed again; attention
  // 2,078.
  assert.ok(Math.abs(work(dense, "products") / 1e12 - (158 + 43)) < 2);
  assert.ok(Math.abs(work(dense, "attention") / 1e12 - 2078) < 4);
  assert.ok(Math.abs(work(norm, "attention") / 1e12 - 340) < 2);
  const ceilings = { flopsPerSecond: 4e14, copyBytesPerSecond: 3e12, passSeconds: 1e-5 };
  const seconds = assumeSeconds(dense.plan!.stages, ceilings);
  assert.ok(seconds > dense.plan!.flops / 4e14 && seconds < 8 * dense.plan!.flops / 4e14);
  assert.deepEqual(addStages([1, 2, 4], [3, 4, 3]), [0, 0, 0, 5, 2, 0, 0, 0]);
});

Deno.test("planTrainingMemory prints every buffer and refuses what does not fit", () => {
  const options = { scorers: ["norm"], options: { k: [1536] } };
  const { lines, refused } = planTrainingMemory(planning(options));
  assert.deepEqual(refused, []);
  for (
    const text of ["logits: 96 MiB", "of a layer: x: 31 × 384 MiB", "together: 25.8 GiB", "fits"]
  ) {
    assert.ok(lines.some((line) => line.trim() === text), text);
  }
  const small = { ...ASSUMED_DEVICE, deviceMemoryBytes: 2 ** 34 };
  const other = planTrainingMemory(planning(options, small));
  assert.match(
    other.refused[0],
    /^plan training: the model needs 25\.8 GiB, 14\.4 GiB may be used: /,
  );
  assert.ok(other.lines.includes(`  refused: ${other.refused[0]}`));
});

Deno.test("options of the suite are read in one way and refused in one line", () => {
  const parse = (name: string, text: string) =>
    TRAINING_FLAGS.find((flag) => flag.name === name)!.parse(text);
  assert.deepEqual(parse("model", "6x256x4x384"), { layers: 6, width: 256, heads: 4, ffn: 384 });
  assert.deepEqual(parse("model", "paper"), { layers: 30, width: 1024, heads: 8, ffn: 1536 });
  assert.deepEqual(parse("recompute", "none,light"), ["none", "light"]);
  assert.deepEqual(parse("vocabularies", "256,128256"), [256, 128256]);
  for (
    const [name, text] of [
      ["model", "huge"],
      ["model", "6x256"],
      ["model", "6x0x4x384"],
      ["recompute", "some"],
      ["vocabularies", "many"],
      ["batch", "0"],
    ]
  ) {
    assert.throws(
      () => parse(name, text),
      (error: Error) => error instanceof RangeError && !/\n/.test(error.message),
      `${name} ${text}`,
    );
  }
});
