import assert from "node:assert/strict";
import { MATRIX_UNITS } from "../../dense_attention/matrix/_matrix_gpu.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { TINY } from "./_tiny_model.ts";
import { endsDense, type ModelOptions, paperModel } from "./model_options.ts";
import { describeTrainingPlan, planTraining } from "./model_plan.ts";

const DEVICE = { ...DESK, capabilities: MATRIX_UNITS };
const GIB = 2 ** 30;
const NORM = {
  kind: "lighthouse",
  scorer: "norm",
  options: { levels: 3, pooling: 4, k: 1536 },
} as const;
const DILATED = {
  kind: "lighthouse",
  scorer: "dilated",
  options: { levels: 3, pooling: 4, k: 1536, dilation: 4 },
} as const;

Deno.test("the paper's model has the paper's parameters and the work that its steps cost", () => {
  const plan = (options: Partial<Parameters<typeof paperModel>[0]> = {}) =>
    planTraining(DEVICE, paperModel({ vocabulary: "bytes", ...options }));
  const paper = planTraining(DEVICE, paperModel({ vocabulary: "paper" }));
  assert.equal(paper.parameterCount, 530_117_632);
  assert.equal(plan().parameterCount, 267_449_344 + 2 * 256 * 1024);
  const tera = (flops: number) => Math.round(flops / 1e12);
  assert.deepEqual([tera(plan().flops.products), tera(plan().flops.attention)], [158, 2078]);
  assert.equal(tera(plan({ attention: NORM }).flops.attention), 340);
  assert.equal(tera(plan({ attention: DILATED }).flops.scorers), 257);
  assert.equal(tera(plan({ recompute: "light" }).flops.recomputed), 43);
  const kinds = plan({ attention: NORM }).attention.map(({ name }) => name);
  assert.deepEqual([kinds[1], kinds[2], kinds[27], kinds[28]], [
    "dense",
    "lighthouse-norm",
    "lighthouse-norm",
    "dense",
  ]);
});

Deno.test("light recompute fits 30 GiB with either vocabulary, and each mode needs less", () => {
  for (const vocabulary of ["bytes", "paper"] as const) {
    const [none, light, least] = (["none", "light", "least"] as const).map((recompute) =>
      planTraining(DEVICE, paperModel({ vocabulary, attention: NORM, recompute })).peakBytes
    );
    assert.ok(none > light && light > least);
    assert.ok(light <= 30 * GIB, `${light / GIB} GiB`);
  }
});

Deno.test("a plan counts every buffer by hand", () => {
  const plan = planTraining(DESK, { ...TINY, dtype: "f16" }, { corpusBytes: 1001 });
  const bytes = new Map(plan.buffers.map(({ name, bytes }) => [name, bytes]));
  assert.equal(bytes.size, plan.buffers.length, "names are unique");
  assert.equal(bytes.get("layers.1.attention.qkv weights"), 192 * 64 * 4);
  assert.equal(bytes.get("layers.1.attention.qkv copy"), 192 * 64 * 2);
  assert.equal(bytes.get("embedding copy"), undefined);
  assert.equal(bytes.get("layer 0 x"), 512 * 64 * 4);
  assert.equal(bytes.get("layer 0 qkv"), 3 * 512 * 64 * 2);
  assert.equal(bytes.get("layer 1 qkv"), undefined, "Lighthouse keeps gathered rows instead");
  assert.equal(bytes.get("layer 1 gathered q"), 4 * 384 * 32 * 2);
  assert.equal(bytes.get("corpus"), 1004);
  const sum = plan.buffers.reduce((total, { bytes }) => total + bytes, plan.kernelBytes);
  assert.equal(plan.peakBytes, sum);
  const least = planTraining(DESK, { ...TINY, dtype: "f16", recompute: "least" });
  const names = least.buffers.filter(({ group }) => group === "kept").map(({ name }) => name);
  assert.deepEqual(names, [
    "layer 0 x",
    "layer 1 x",
    "layer 1 indices",
    "layer 1 slots",
    "layer 2 x",
  ]);
});

Deno.test("forward products read weights transposed on matrix units, from one buffer", () => {
  const formsOf = (
    device: Parameters<typeof planTraining>[0],
    options: Partial<ModelOptions> = {},
  ) => {
    const plan = planTraining(device, { ...TINY, dtype: "f16", ...options });
    const { qkv, output, gateUp, down, qkvInput } = plan.products.layer;
    const found = plan.buffers.find(({ name }) => name === "transposed weights");
    return [...[qkv, output, gateUp, down, qkvInput].map(({ form }) => form), found?.bytes];
  };
  const stored = ["NT", "NT", "NT", "NT", "NN", undefined];
  assert.deepEqual(formsOf(DESK), stored);
  assert.deepEqual(formsOf(DEVICE, { products: "portable" }), stored);
  assert.deepEqual(formsOf(DEVICE, { dtype: "f32" }), stored);
  assert.deepEqual(formsOf(DEVICE), ["NN", "NN", "NN", "NN", "NN", 192 * 64 * 2]);
});

Deno.test("a plan prints its buffers, those of equal layers in one line", () => {
  const plan = planTraining(DEVICE, paperModel({ vocabulary: "bytes", attention: NORM }));
  const lines = describeTrainingPlan(plan);
  assert.ok(
    lines.includes("attention: 4 × dense, 26 × lighthouse-norm (levels 3, pooling 4, k 1536)"),
  );
  assert.ok(lines.includes("  of a layer: x: 31 × 384 MiB"));
  assert.match(lines.at(-1)!, /^together: [\d.]+ GiB$/);
});

Deno.test("chunks of rows bound the logits of a large vocabulary", () => {
  const { products, buffers } = planTraining(DEVICE, paperModel({ vocabulary: "paper" }));
  assert.equal(products.chunks.length, 96);
  assert.deepEqual(products.chunks.at(-1), { firstRow: 97280, rows: 1024 });
  assert.equal(buffers.find(({ name }) => name === "logits")!.bytes, 1024 * 128256 * 4);
});

Deno.test("a model that cannot be trained is refused in one line", () => {
  const refuse = (
    options: Partial<ModelOptions>,
    message: string | RegExp,
    limits = {},
    capabilities = {},
  ) => {
    const device = { ...DESK, capabilities: { ...DESK.capabilities, ...capabilities } };
    const plan = () => planTraining(device, { ...TINY, dtype: "f16", ...options }, limits);
    assert.throws(plan, typeof message === "string" ? { message } : { message });
  };
  refuse({ layers: 0 }, "plan training: layers 0 is not a whole number from 1 to 4096");
  refuse({ layers: 1e6 }, "plan training: layers 1000000 is not a whole number from 1 to 4096");
  refuse({ vocabulary: 100 }, "plan training: vocabulary 100 is not a multiple of 8");
  refuse({ heads: 3 }, "plan training: width 64 is not divided by 3 heads");
  refuse({ heads: 8 }, "plan attention: head dimension 8 is not one of 32, 64, 96, 128");
  refuse({ recompute: "all" as "none" }, /recompute all is not one of none, light, least/);
  refuse(
    { attention: { kind: "dense" }, context: 100, accumulate: 2 },
    "plan training: batch * context 200 is not a multiple of 64, as accumulate 2 needs",
  );
  refuse({ layers: 3 }, "plan training: attention is given for 2 of 3 layers");
  refuse({ chunkRows: 100 }, "plan training: chunkRows 100 is not a multiple of 128");
  refuse(
    { attention: { kind: "sparse" as "dense" } },
    /kind sparse is not one of dense, lighthouse/,
  );
  refuse(
    { attention: { ...NORM, scorer: "best" } },
    /scorer best is not one of norm, dilated/,
  );
  refuse({ attention: NORM }, /context 256 leaves 16 coarsest entries/);
  refuse(
    {},
    /the model needs .* MiB, 2 MiB may be used: no option makes it fit/,
    { memoryBytes: 2 * 2 ** 20 },
  );
  const { peakBytes } = planTraining(DESK, { ...TINY, dtype: "f16", recompute: "light" });
  refuse({}, /may be used: recompute light needs /, { memoryBytes: peakBytes });
  refuse(
    {},
    /plan training: layer 0 x needs 128 KiB; the device's limit of one buffer is 100 KiB: a smaller/,
    {},
    { maxBindingBytes: 100 * 1024 },
  );
});

Deno.test("a buffer beyond a device's limit names what makes it smaller", () => {
  const MIB = 2 ** 20;
  const device = (limit: number) => ({
    ...DESK,
    capabilities: { ...DESK.capabilities, maxBindingBytes: limit, maxBufferBytes: limit },
  });
  const tiny = { ...TINY, dtype: "f16" } as const;
  // Rows of logits at a time follow the limit; those asked for do not.
  const paper = { ...tiny, vocabulary: 128256 };
  const chunked = planTraining(device(128 * MIB), { ...paper, batch: 8 });
  assert.deepEqual(chunked.products.chunks.map(({ rows }) => rows), [
    256,
    256,
    256,
    256,
    256,
    256,
    256,
    256,
  ]);
  for (
    const [options, limit, message] of [
      [
        { ...paper, batch: 8, chunkRows: 1024 },
        128,
        "logits needs 501 MiB; .* a smaller chunkRows",
      ],
      [paper, 48, "logits needs 62.6 MiB; .* a smaller vocabulary"],
      [paper, 16, "embedding weights needs 31.3 MiB; .* a smaller vocabulary or width"],
      [{ ...tiny, ffn: 4096 }, 1, "gate-up needs 8 MiB; .* a smaller batch or context"],
      [
        { ...tiny, batch: 1, context: 8, width: 512, heads: 8 },
        1,
        "qkv weights needs 3 MiB; .* a smaller width",
      ],
      [
        { ...tiny, batch: 1, context: 8, ffn: 8192 },
        1,
        "gate_up weights needs 4 MiB; .* a smaller width or ffn",
      ],
      [
        { ...tiny, accumulate: 4096 },
        2,
        "tokens needs 8 MiB; .* a smaller accumulate, batch or context",
      ],
    ] as const
  ) {
    assert.throws(
      () => planTraining(device(limit * MIB), { ...options, attention: { kind: "dense" } }),
      new RegExp(`^RangeError: plan training: .*${message} would fit$`),
    );
  }
  // More elements than a matrix may have are refused by their bytes, too.
  assert.throws(
    () => planTraining(device(2048 * MIB), { ...tiny, context: 2 ** 23, ffn: 512 }),
    /^RangeError: plan training: layer 0 x needs .*: a smaller batch or context would fit$/,
  );
});

Deno.test("the ends are dense in a model of any depth", () => {
  const kinds = endsDense(6, NORM).map(({ kind }) => kind[0]).join("");
  assert.equal(kinds, "ddlldd");
  const kindsOf = (layers: number, ends: number) =>
    endsDense(layers, NORM, { ends }).map(({ kind }) => kind[0]).join("");
  assert.equal(kindsOf(3, 1), "dld");
  assert.equal(kindsOf(3, 0), "lll");
  assert.equal(kindsOf(3, 2), "ddd");
});
