import assert from "node:assert/strict";
import { DESK } from "../gpu/_desk_device.ts";
import type { Capabilities, TunedTiling } from "../gpu/device.ts";
import { lighthouseNorm } from "../lighthouse/lighthouse_attention.ts";
import { HEAD_DIMS } from "./types.ts";
import { planDenseAttention } from "./dense_attention.ts";
import { planPortable } from "./portable/portable_plan.ts";
import { chooseBackwardTilings } from "./portable/portable_backward.ts";
import { planDenseBackward } from "./dense_attention_backward.ts";
import { dense } from "./dense_layer.ts";
import { planSquaredNorms } from "./dense_squared_norms.ts";
import { chooseMatrixBackward, chooseMatrixTiling } from "./matrix/dense_matrix.ts";
import {
  MATRIX_BACKWARD_TILINGS,
  MATRIX_TILINGS,
  PORTABLE_BACKWARD_TILINGS,
  PORTABLE_TILINGS,
  sameTiling,
  tilingName,
} from "./tilings.ts";
import { tilingSpace, whyNotTuned, withTuning } from "./tuning.ts";

const UNITS: Capabilities = {
  ...DESK.capabilities,
  subgroupMatrix: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
};
const WITH_UNITS = { ...DESK, capabilities: UNITS };
const SHAPE = { heads: 2, rows: 4096, headDim: 64, dtype: "f16" } as const;

function entry(tiling: object, rest: Partial<TunedTiling> = {}): TunedTiling {
  return {
    kernel: "portable",
    pass: "forward",
    headDim: 64,
    dtype: "f16",
    rows: 4096,
    tiling: { ...tiling },
    ...rest,
  };
}

Deno.test("every default tiling is in the declared space, and every tiling of the space fits", () => {
  for (const maxWorkgroupBytes of [16384, 32768, 49152]) {
    for (const software of [false, true]) {
      const gpu = {
        capabilities: { ...UNITS, maxWorkgroupBytes },
        adapter: { ...DESK.adapter, software },
      };
      const holds = (tiling: object, key: Parameters<typeof tilingSpace>[1]) =>
        assert.ok(
          tilingSpace(gpu.capabilities, key).some((known) => sameTiling(known, tiling)),
          `${key.kernel} ${key.pass} d=${key.headDim} ${maxWorkgroupBytes}: ${tilingName(tiling)}`,
        );
      for (const headDim of HEAD_DIMS) {
        const { tiling } = planPortable(gpu, { ...SHAPE, headDim });
        holds(tiling, { kernel: "portable", pass: "forward", headDim });
        const { query, keyValue } = chooseBackwardTilings(gpu, headDim);
        holds(query, { kernel: "portable", pass: "query", headDim });
        holds(keyValue, { kernel: "portable", pass: "key-value", headDim });
      }
    }
  }
  for (const headDim of [64, 128]) {
    for (const rows of [1024, 65536]) {
      const chosen = chooseMatrixTiling(UNITS, { heads: 8, rows, headDim });
      const space = tilingSpace(UNITS, { kernel: "matrix", pass: "forward", headDim });
      assert.ok(space.includes(chosen));
    }
    const space = tilingSpace(UNITS, { kernel: "matrix", pass: "query", headDim });
    assert.ok(space.includes(chooseMatrixBackward(UNITS, { ...SHAPE, headDim }).query));
  }
});

Deno.test("a tuned device's plans take the nearest measured tiling of their own kind", () => {
  const [wide, middle] = [PORTABLE_TILINGS[0], PORTABLE_TILINGS[6]];
  const tuned = withTuning(DESK, [entry(middle), entry(wide, { rows: 65536 })]);
  const variant = (options: Partial<typeof SHAPE> | object = {}) =>
    planDenseAttention(tuned, { ...SHAPE, ...options }).variant;
  assert.equal(variant(), "portable 64/64/16/16/16");
  assert.equal(variant({ rows: 600 }), "portable 64/64/16/16/16");
  // By ratio 16,000 is nearer to 4,096, and 17,000 to 65,536.
  assert.equal(variant({ rows: 16000 }), "portable 64/64/16/16/16");
  assert.equal(variant({ rows: 17000 }), "portable 128/128/16/16/16");
  // Nothing is known beyond eight times the measured lengths.
  const short = withTuning(DESK, [entry(middle)]);
  const plan = (gpu: typeof short, rows: number) =>
    planDenseAttention(gpu, { ...SHAPE, rows }).variant;
  assert.equal(plan(short, 32768), "portable 64/64/16/16/16");
  assert.equal(plan(short, 32769), plan(DESK, 32769));
  const untuned = planDenseAttention(DESK, { ...SHAPE, headDim: 128 }).variant;
  assert.equal(variant({ headDim: 128 }), untuned);
  assert.equal(variant({ dtype: "f32" }), planDenseAttention(DESK, SHAPE).variant);
  assert.equal(variant({ tiling: PORTABLE_TILINGS[1] }), "portable 128/64/16/16/16");
});

Deno.test("a tiling measured with other heads is used for the same total number of queries", () => {
  const [few, many] = [entry(PORTABLE_TILINGS[6], { heads: 2, rows: 4096 }), PORTABLE_TILINGS[0]];
  const tuned = withTuning(DESK, [few, entry(many, { heads: 8, rows: 8192 })]);
  const variant = (heads: number, rows: number) =>
    planDenseAttention(tuned, { ...SHAPE, heads, rows }).variant;
  assert.equal(variant(2, 4096), "portable 64/64/16/16/16");
  assert.equal(variant(16, 4096), "portable 128/128/16/16/16");
  assert.equal(variant(1, 8192), "portable 64/64/16/16/16");
  // With as many queries, the nearest length; nothing for lengths that differ by more than eight
  // times.
  const long = entry(PORTABLE_TILINGS[1], { heads: 1, rows: 65536 });
  const both = withTuning(DESK, [entry(many, { heads: 8, rows: 8192 }), long]);
  const nearest = (heads: number, rows: number) =>
    planDenseAttention(both, { ...SHAPE, heads, rows }).variant;
  assert.equal(nearest(1, 65536), "portable 128/64/16/16/16");
  assert.equal(nearest(8, 8192), "portable 128/128/16/16/16");
  assert.equal(nearest(512, 128), planDenseAttention(DESK, { ...SHAPE, rows: 128 }).variant);
  // A residue class is a separate sequence: 8 heads and δ = 4 fill a device like 32 heads.
  const norms = (dilation: number) =>
    planSquaredNorms(tuned, { ...SHAPE, heads: 8, rows: 2048 * dilation, dilation }).launch.variant;
  assert.equal(norms(4), "portable 128/128/16/16/16");
  assert.equal(norms(1), "portable 64/64/16/16/16");
});

Deno.test("backward passes are chosen by the number of queries too, tuned or not", () => {
  const narrow = (heads: number, gpu: typeof WITH_UNITS = WITH_UNITS) =>
    planDenseBackward(gpu, { ...SHAPE, kernel: "matrix", heads, rows: 2048 }).variant;
  assert.equal(narrow(8), "matrix units 4/64/1/2 and 4/64/1/1");
  assert.equal(narrow(16), "matrix units 4/64/1/2 and 8/64/1/1");
  assert.equal(narrow(32), "matrix units 4/64/1/2 and 8/64/1/2");
  const [, , wide, last] = MATRIX_BACKWARD_TILINGS.query;
  const of = (tiling: object, heads: number) =>
    entry(tiling, { kernel: "matrix", pass: "query", rows: 2048, heads });
  const tuned = withTuning(WITH_UNITS, [of(wide, 8), of(last, 32)]);
  assert.match(narrow(8, tuned), /^matrix units 8\/64\/1\/2 and/);
  assert.match(narrow(32, tuned), /^matrix units 4\/32\/1\/1 and/);
  // Products of 8 columns: where the device lists them.
  const columns = { componentType: "f16", resultComponentType: "f32", M: 16, N: 8, K: 16 };
  const { capabilities } = WITH_UNITS;
  const subgroupMatrix = [...capabilities.subgroupMatrix, columns];
  const listed = { ...WITH_UNITS, capabilities: { ...capabilities, subgroupMatrix } };
  assert.equal(narrow(8, listed), "matrix units 4/64/1/2 columns 8 and 4/64/1/1");
  assert.equal(narrow(16, listed), "matrix units 4/64/1/2 columns 8 and 8/64/1/1");
  assert.equal(narrow(32, listed), "matrix units 4/64/1/2 columns 8 and 8/64/1/2");
  assert.equal(
    planDenseBackward(listed, { ...SHAPE, headDim: 128, heads: 32, rows: 2048 }).variant,
    "matrix units 4/64/1/2 columns 8 and 8/64/1/1 columns 8",
  );
  const portable = (heads: number) =>
    planDenseBackward(
      withTuning(DESK, [
        entry(PORTABLE_BACKWARD_TILINGS[4], { pass: "query", rows: 2048, heads: 8 }),
        entry(PORTABLE_BACKWARD_TILINGS[5], { pass: "query", rows: 2048, heads: 32 }),
      ]),
      { ...SHAPE, heads, rows: 2048 },
    ).variant;
  assert.match(portable(8), /^portable 64\/128\/16\/16\/32 and/);
  assert.match(portable(32), /^portable 64\/64\/16\/16\/16 and/);
});

Deno.test("many short sequences get a tile no longer than a sequence, if one exists", () => {
  for (const [heads, rows, most] of [[512, 128, 128], [3072, 17, 64], [64, 1024, 256]]) {
    const { variant } = planDenseAttention(WITH_UNITS, { ...SHAPE, heads, rows });
    const [subgroups, , , blocks] = variant.match(/\d+/g)!.map(Number);
    assert.equal(16 * subgroups * blocks, most, variant);
  }
  const { variant } = planDenseBackward(WITH_UNITS, {
    ...SHAPE,
    kernel: "matrix",
    heads: 512,
    rows: 64,
  });
  assert.match(variant, / and 4\/64\/1\/1$/);
});

Deno.test("without a tuning, residue classes fill a device like heads", () => {
  const variant = (heads: number, dilation: number) =>
    planSquaredNorms(WITH_UNITS, { ...SHAPE, heads, rows: 2048 * dilation, dilation }).launch
      .variant;
  assert.equal(variant(8, 1), "matrix units 4/32/2/1");
  assert.equal(variant(8, 2), "matrix units 8/32/2/1");
  assert.equal(variant(8, 4), variant(32, 1));
  assert.equal(variant(8, 4), "matrix units 8/32/2/2 step 32");
});

Deno.test("at d = 64, many queries get twelve subgroups and fewer of them steps of 32 keys", () => {
  const variant = (rows: number, headDim: number) =>
    planDenseAttention(WITH_UNITS, { ...SHAPE, heads: 8, rows, headDim }).variant;
  const twelve = "matrix units 12/32/2/2";
  assert.equal(variant(65536, 64), twelve);
  assert.equal(variant(24576, 64), twelve);
  assert.equal(variant(24575, 64), "matrix units 8/32/2/2 step 32");
  assert.equal(variant(6145, 64), "matrix units 8/32/2/2 step 32");
  assert.equal(variant(6144, 64), "matrix units 8/32/2/1");
  assert.equal(variant(65536, 128), "matrix units 8/32/2/2");
  assert.equal(variant(6145, 128), "matrix units 8/32/2/2");
});

Deno.test("dense and Lighthouse layers, forward and backward, run the measured tilings", () => {
  const forward = PORTABLE_TILINGS[1];
  const [query, keyValue] = [PORTABLE_BACKWARD_TILINGS[4], PORTABLE_BACKWARD_TILINGS[5]];
  const gpu = withTuning(DESK, [
    entry(forward),
    entry(query, { pass: "query" }),
    entry(keyValue, { pass: "key-value" }),
  ]);
  const shape = { heads: 2, context: 8192, headDim: 64, dtype: "f16" } as const;
  const lighthouse = { levels: 3, pooling: 4, k: 128 } as const;
  for (
    const [layer, problem] of [[dense, {}], [lighthouseNorm, { options: lighthouse }]] as const
  ) {
    const { stages } = layer.plan(gpu, { shape, direction: "forward-backward", ...problem });
    const variants = stages.flatMap(({ name, variant }) => variant ? [[name, variant]] : []);
    assert.deepEqual(variants, [
      ["attention", "portable 128/64/16/16/16"],
      ["attention-backward", "portable 64/128/16/16/32 and 64/64/16/16/16"],
    ]);
  }
});

Deno.test("plans for matrix units take measured tilings of each pass", () => {
  const [forward, backward] = [
    MATRIX_TILINGS.at(-1)!,
    MATRIX_BACKWARD_TILINGS["key-value"].at(-1)!,
  ];
  const gpu = withTuning(WITH_UNITS, [
    entry(forward, { kernel: "matrix" }),
    entry(backward, { kernel: "matrix", pass: "key-value" }),
  ]);
  assert.equal(planDenseAttention(gpu, SHAPE).variant, `matrix units ${tilingName(forward)}`);
  const { query } = chooseMatrixBackward(UNITS, SHAPE);
  assert.equal(
    planDenseBackward(gpu, { ...SHAPE, kernel: "matrix" }).variant,
    `matrix units ${tilingName(query)} and ${tilingName(backward)}`,
  );
  // The portable kernel was not measured.
  assert.equal(
    planDenseAttention(gpu, { ...SHAPE, kernel: "portable" }).variant,
    planDenseAttention(DESK, SHAPE).variant,
  );
});

Deno.test("a tiling that is undeclared or does not fit is ignored, with the reason", () => {
  const small = { ...DESK.capabilities, maxWorkgroupBytes: 16384 };
  const refused: [Capabilities, TunedTiling, RegExp][] = [
    [
      small,
      entry({ ...PORTABLE_TILINGS[0], tileRows: 1024 }),
      /^1024\/.* is not one of the kernel's tilings/,
    ],
    [small, entry({ ...PORTABLE_TILINGS[0], more: 1 }), /is not one of the kernel's tilings/],
    [small, entry({}), /is not one of the kernel's tilings/],
    [small, entry(PORTABLE_TILINGS[0]), /does not fit head dimension 64, 16 KiB of/],
    [DESK.capabilities, entry(PORTABLE_TILINGS[0], { headDim: 96 }), /does not fit head dim/],
    [DESK.capabilities, entry(MATRIX_TILINGS[0], { kernel: "matrix" }), /no subgroup matrices/],
    [
      { ...UNITS, maxInvocations: 128 },
      entry(MATRIX_TILINGS[0], { kernel: "matrix" }),
      /does not fit .* 128 threads/,
    ],
  ];
  for (const [capabilities, given, reason] of refused) {
    assert.match(whyNotTuned(capabilities, given)!, reason);
    const tuned = { ...capabilities, tuning: [given] };
    const gpu = { capabilities, adapter: DESK.adapter };
    const options = { ...SHAPE, headDim: given.headDim };
    assert.equal(
      planDenseAttention({ ...gpu, capabilities: tuned }, options).variant,
      planDenseAttention(gpu, options).variant,
    );
  }
  assert.equal(whyNotTuned(DESK.capabilities, entry(PORTABLE_TILINGS[0])), undefined);
});
