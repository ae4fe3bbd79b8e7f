import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { createTensor } from "../../kernels/gpu/buffers.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import { checkOutputs, failureOf } from "../check/check.ts";
import { UnavailableError } from "../plan/measurable.ts";
import { onnxModel } from "./onnx_model.ts";
import { openOrtPeer } from "./ort_web.ts";

Deno.test("onnxModel encodes the messages of the format", () => {
  const model = onnxModel({
    operator: "Op",
    domain: "d",
    dtype: "f32",
    inputs: [["x", [300]]],
    outputs: [["y", [2]]],
    attributes: { n: 5 },
  });
  const fields = readFields(model);
  assert.deepEqual(fields.map(([field]) => field), [1, 7, 8, 8]);
  const graph = readFields(fields[1][1] as Uint8Array);
  assert.deepEqual(graph.map(([field]) => field), [1, 2, 11, 12]);
  const node = readFields(graph[0][1] as Uint8Array);
  const text = (bytes: unknown) => new TextDecoder().decode(bytes as Uint8Array);
  assert.deepEqual(
    node.filter(([field]) => field !== 5).map(([field, value]) => [field, text(value)]),
    [[1, "x"], [2, "y"], [4, "Op"], [7, "d"]],
  );
  const attribute = readFields(node.find(([field]) => field === 5)![1] as Uint8Array);
  assert.deepEqual([text(attribute[0][1]), attribute[1], attribute[2]], ["n", [3, 5], [20, 2]]);
  // ValueInfo → TypeProto → Tensor → TensorShape → Dimension → dim_value.
  let inner = readFields(graph[2][1] as Uint8Array)[1];
  inner = readFields(inner[1] as Uint8Array)[0];
  const tensor = readFields(inner[1] as Uint8Array);
  assert.deepEqual(tensor[0], [1, 1]);
  inner = readFields(readFields(tensor[1][1] as Uint8Array)[0][1] as Uint8Array)[0];
  assert.deepEqual(inner, [1, 300]);
});

/** Fields of a message: numbers, or the bytes of length-delimited ones. */
function readFields(bytes: Uint8Array): [number, number | Uint8Array][] {
  const fields: [number, number | Uint8Array][] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 1;; shift *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const value = varint();
    if (key % 8 === 0) fields.push([key >> 3, value]);
    else {
      assert.equal(key % 8, 2);
      fields.push([key >> 3, bytes.subarray(at, at += value)]);
    }
  }
  return fields;
}

Deno.test("ort-web computes causal attention on our device, and passes our checks", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  let peer;
  try {
    peer = await openOrtPeer(gpu);
  } catch (error) {
    gpu.destroy();
    if (!(error instanceof UnavailableError)) throw error;
    return console.warn(`skipped: ${t.name}: ${error.message}`);
  }
  // A run without the faster kernels reports why.
  assert.deepEqual(
    peer.notes.map((note) => / subgroups: ./.test(note)),
    peer.versions.kernels === "with subgroups" ? [] : [true],
  );
  const dtype = gpu.capabilities.f16 ? "f16" as const : "f32" as const;
  const shape = { heads: 2, context: 200, headDim: 64, dtype };
  const tensors = await Promise.all([0, 1, 2].map(async (i) => {
    const tensor = await createTensor(gpu, { heads: 2, rows: 200, dim: 64, dtype });
    await fillSeeded(gpu, tensor, 11 + i);
    return tensor;
  }));
  const [q, k, v] = tensors;
  const inputs = { q, k, v };
  const { implementation } = peer;
  const layer = await implementation.prepare(gpu, { shape }, { inputs, seed: 11 });
  const timing = await layer.execute();
  assert.ok(timing.wallSeconds > 0);
  if (gpu.capabilities.timestamps) {
    assert.ok(timing.gpuSeconds! > 0 && timing.gpuSeconds! <= timing.wallSeconds);
  }
  const options = {
    problem: { shape },
    implementation,
    inputs,
    seed: 11,
    extent: "whole" as const,
  };
  assert.equal(failureOf((await checkOutputs(gpu, layer, options)).check), undefined);
  // The wrapped methods are the prototype's again.
  assert.ok(!Object.hasOwn(gpu.device, "createShaderModule"));
  assert.ok(!Object.hasOwn(gpu.device.queue, "submit"));
  await layer.destroy();
  tensors.forEach((tensor) => tensor.destroy());
  await peer.close();
  gpu.destroy();
});
