import assert from "node:assert/strict";
import { digestShaders, expectDigests } from "../../kernels/_shader_fixtures.ts";
import { expectUniforms } from "../../kernels/_uniform_layouts.ts";
import { openRecordingDevice } from "../../kernels/gpu/_recording_device.ts";
import { shaderValidator, testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { createPipeline } from "../../kernels/gpu/pipeline.ts";
import { Timer } from "../../kernels/gpu/timing.ts";
import { calibrate, type Canary } from "./calibrate.ts";
import { matrixShader, smallestStep } from "./ceilings.ts";
import { calibrationSchema } from "../result/environment_schema.ts";

Deno.test("smallestStep finds the step that divides all durations", () => {
  assert.equal(smallestStep([64e-9, 96e-9, 96e-9, 160e-9]), 32e-9);
  assert.equal(smallestStep([1024e-9, 1024e-9]), 1024e-9);
  assert.equal(smallestStep([0, 0]), null);
});

Deno.test("calibrate measures plausible ceilings within its time", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const timer = new Timer(gpu);
  const started = performance.now();
  const { record, canary, secondsOf } = await calibrate(gpu, timer, {});
  const took = (performance.now() - started) / 1e3;
  calibrationSchema.parse(record);
  // Two and a half on two idle processors; the limit allows for a busy machine.
  assert.ok(took < 60, `calibration took ${took} s`);
  assert.ok(record.fmaF32!.median > 1e8, `${record.fmaF32!.median} FLOP/s`);
  assert.ok(record.copy!.median > 1e8, `${record.copy!.median} B/s`);
  assert.ok(record.emptyPass!.median >= 0);
  assert.ok(canary.referenceSeconds > 0);
  assert.ok(await canary.probe() > 0);
  assert.equal(secondsOf({ gpuSeconds: null, wallSeconds: 2, stages: null }), 2);
  // A resumed run keeps its clock, whatever a new test would find, and its canary.
  const earlier = { ...record, clock: "wall" as const, canary: { ...record.canary!, median: 0.5 } };
  const again = await calibrate(gpu, timer, { earlier });
  assert.equal(again.record.clock, "wall");
  assert.equal(again.secondsOf({ gpuSeconds: 1, wallSeconds: 2, stages: null }), 2);
  assert.deepEqual(again.record.canary, earlier.canary);
  assert.equal(again.record.canaryTrips, record.canaryTrips);
  assert.equal(again.canary.referenceSeconds, 0.5);
  // The minimum of several: a busy machine only adds.
  const least = async (of: Canary) => {
    let seconds = Infinity;
    for (let i = 0; i < 8; i++) {
      seconds = Math.min(seconds, await of.probe() * of.referenceSeconds);
    }
    return seconds;
  };
  const [was, is] = [await least(canary), await least(again.canary)];
  // The second is timed by the wall clock, and so includes the wait for the device's answer.
  assert.ok(is > was / 20 && is < was * 20 + 0.1, `${was} s and ${is} s for the same work`);
  again.canary.destroy();
  canary.destroy();
  timer.destroy();
  gpu.destroy();
});

Deno.test("matrixShader validates on Dawn", async (t) => {
  const gpu = await shaderValidator(t);
  if (!gpu) return;
  // The null backend grants the feature without listing configurations.
  const configs = ["f32", "f16"].map((resultComponentType) => ({
    componentType: "f16",
    resultComponentType,
    M: 16,
    N: 16,
    K: 16,
  }));
  assert.ok(gpu.features.includes("chromium-experimental-subgroup-matrix"));
  for (const config of configs) {
    await createPipeline(gpu, {
      label: "matrix units",
      code: matrixShader(config),
      bindings: ["read", "read-write", "uniform"],
    });
  }
  gpu.destroy();
});

Deno.test("every shader of the calibration matches its digest byte for byte, and its uniforms fit", async () => {
  const config = { componentType: "f16", M: 16, N: 16, K: 16 };
  const { gpu, shaders } = openRecordingDevice({
    software: true, // the shortest measurements
    capabilities: {
      subgroupMatrix: ["f32", "f16"].map((resultComponentType) => ({
        ...config,
        resultComponentType,
      })),
    },
  });
  const timer = new Timer(gpu);
  (await calibrate(gpu, timer)).canary.destroy();
  assert.equal(new Set(shaders.map(({ code }) => code)).size, 5);
  expectDigests("calibration.json", digestShaders("calibrate", shaders));
  assert.ok(expectUniforms("calibrate", shaders) > 4);
});
