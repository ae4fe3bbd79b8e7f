import assert from "node:assert/strict";
import { openDawn } from "../gpu/dawn.ts";
import { type Capabilities, DeviceError, type Gpu, openDevice } from "../gpu/device.ts";
import { planDenseMatrix, whyNoMatrixUnits } from "./dense_matrix.ts";

const MATRIX_UNITS: Capabilities = {
  f16: true,
  subgroups: true,
  subgroupMinSize: 32,
  subgroupMaxSize: 32,
  timestamps: true,
  subgroupMatrix: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
  subgroupsDirective: "enable subgroups;",
  maxBindingBytes: 2 ** 31 - 4,
  maxBufferBytes: 2 ** 40,
  maxWorkgroupBytes: 49152,
  maxInvocations: 1024,
  maxWorkgroupsPerDimension: 65535,
  storageAlignment: 256,
};

Deno.test("planDenseMatrix refuses devices and shapes without matrix units for them, in one line", () => {
  const plan = (capabilities: Partial<Capabilities>, options = {}) => () =>
    planDenseMatrix({ capabilities: { ...MATRIX_UNITS, ...capabilities } }, {
      heads: 1,
      rows: 1000,
      headDim: 128,
      dtype: "f16",
      ...options,
    });
  assert.equal(whyNoMatrixUnits(MATRIX_UNITS), undefined);
  assert.throws(plan({ subgroupMatrix: [] }), /the device has no subgroup matrices/);
  assert.throws(plan({ subgroupMinSize: 8 }), /subgroups of 8 to 32 threads are not of 32/);
  assert.throws(plan({ maxWorkgroupBytes: 16384 }), /bytes of workgroup memory exceed/);
  assert.throws(plan({}, { dtype: "f32" }), /storage f32 is not f16/);
  assert.throws(plan({}, { headDim: 96 }), /head dimension 96 is not one of 64, 128/);
  assert.equal(plan({})().ranges.length, 1);
});

Deno.test("the matrix-unit kernel compiles in Dawn's front end for every tiling that is used", async () => {
  let gpu: Gpu;
  try {
    gpu = await openDevice({ stack: "dawn", gpu: await openDawn("backend=null") });
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    console.warn(`skipped: ${error.message}`);
    return;
  }
  for (const headDim of [64, 128]) {
    for (const rows of [4096, 65536]) {
      const { pipeline } = planDenseMatrix({ capabilities: MATRIX_UNITS }, {
        heads: 8,
        rows,
        headDim,
        dtype: "f16",
      });
      const module = gpu.device.createShaderModule({ code: pipeline.code });
      const { messages } = await module.getCompilationInfo();
      assert.deepEqual(messages.map(({ message }) => message), []);
    }
  }
  gpu.destroy();
});
