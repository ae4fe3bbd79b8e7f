import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { describeDiagnosis, diagnoseStack } from "./doctor.ts";

const format = { bytes: (n: number) => `${n} B`, seconds: (n: number) => `${n} s` };

Deno.test("diagnoseStack reports adapter, clock, correctness and what fits", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const diagnosis = await diagnoseStack("deno", { gpu });
  assert.equal(diagnosis.problem, undefined);
  assert.equal(diagnosis.correct, true);
  assert.equal(diagnosis.profile, gpu.adapter.software ? "smoke" : "standard");
  const dense = diagnosis.largest!.find(({ implementation }) => implementation === "dense")!;
  assert.ok(dense.context! >= 8192 && Number.isInteger(Math.log2(dense.context!)));
  const memory = diagnosis.environment!.deviceMemoryBytes ?? Infinity;
  for (const { bytes } of diagnosis.largest!) assert.ok(bytes <= memory);
  const lines = describeDiagnosis(diagnosis, format);
  assert.match(lines[0], /^stack deno: ./);
  assert.ok(lines.some((line) => line.includes("a tiny layer matches float64")));
  gpu.destroy();
});

Deno.test("diagnoseStack plans smaller contexts for less memory, and names the limit", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const small = {
    ...gpu,
    capabilities: { ...gpu.capabilities, maxBindingBytes: 2 ** 24, maxBufferBytes: 2 ** 24 },
  };
  const whole = await diagnoseStack("deno", { gpu });
  const part = await diagnoseStack("deno", { gpu: small });
  assert.ok(part.largest![0].context! < whole.largest![0].context!);
  assert.match(part.largest![0].limit!, /the limit is 16 MiB$/);
  gpu.destroy();
});

Deno.test("describeDiagnosis says why a stack cannot be used", () => {
  const lines = describeDiagnosis({ stack: "dawn", problem: "no adapter" }, format);
  assert.equal(lines[0], "stack dawn: cannot be used: no adapter");
  assert.equal(lines.length, 2);
});
