/**
 * Bad layers for every public function of the kernels: each is refused with one clear line,
 * whatever is wrong with it, and no function returns numbers.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import * as kernels from "./mod.ts";
import { attentionEntries } from "./_refusal_attention.ts";
import { deviceEntries } from "./_refusal_device.ts";
import { kernelEntries } from "./_refusal_kernels.ts";
import { referenceEntries } from "./_refusal_references.ts";
import {
  BAD_LIGHTHOUSE,
  denseShape,
  type Entry,
  type Given,
  GOOD_LIGHTHOUSE,
  LIGHTHOUSE,
  NO_COUNT,
  NO_DTYPE,
  NO_QUANTITY,
  NO_WORD,
  type Shape,
  World,
} from "./_refusal_world.ts";
import { testGpu } from "./gpu/_test_gpu.ts";
import type { DType, Tensor } from "./gpu/buffers.ts";
import type { Problem } from "./implementation.ts";
import { IMPLEMENTATIONS } from "./implementations.ts";
import { createContextParallel, planContextParallel } from "./lighthouse/context_parallel.ts";
import { createLighthouseRows } from "./retrieval/lighthouse_last_row.ts";
import { trainingEntries } from "./training/_bad_training.ts";
import { slow } from "../tools/_cases.ts";

async function implementationEntries(world: World, shape: Shape): Promise<Entry[]> {
  const { gpu } = world;
  const wide = { heads: 2, rows: 256, dim: 32, dtype: shape.dtype };
  const entries: Entry[] = [];
  for (const implementation of IMPLEMENTATIONS) {
    const lighthouse = implementation.family === "lighthouse";
    const own = lighthouse ? [] : implementation.options;
    const problemOf = (given: Given): Problem => {
      const { heads, context, headDim, dtype, direction, levels, pooling, budget: k } = given;
      const options = lighthouse
        ? { levels, pooling, k }
        : Object.fromEntries(own.map(({ name }) => [name, given[name]]));
      return { shape: { heads, context, headDim, dtype }, direction, options };
    };
    const of = lighthouse ? wide : shape;
    const { name, directions } = implementation;
    const exported = Object.entries(kernels).filter(([, value]) =>
      (value as { name?: unknown }).name === name
    ).map(([name]) => name);
    const { heads, rows, dim, dtype } = of;
    const layer = {
      heads,
      context: rows,
      headDim: dim,
      dtype,
      direction: directions[directions.length - 1],
      ...lighthouse ? GOOD_LIGHTHOUSE : implementation.shortOptions?.(rows),
    };
    const bad = {
      heads: NO_COUNT,
      context: NO_COUNT,
      headDim: [...NO_COUNT, 24, 512],
      dtype: NO_DTYPE,
      direction: NO_WORD,
      ...lighthouse ? BAD_LIGHTHOUSE : Object.fromEntries(
        own.map(({ name, least }) => [name, [least - 1, 0.5, NaN, "x", null]]),
      ),
    };
    const tensors = await world.badTensors(of);
    entries.push({
      name,
      covers: exported,
      good: layer,
      bad,
      call: (given) => implementation.plan(gpu, problemOf(given)),
      pure: true,
    }, {
      name: `${name} compile`,
      covers: [],
      good: layer,
      bad,
      call: async (given) => await implementation.compile?.(gpu, problemOf(given)),
    }, {
      name,
      covers: [...exported, "lighthouseImplementation"],
      good: {
        ...layer,
        q: await world.tensor(of),
        k: await world.tensor(of),
        v: await world.tensor(of),
        outputGradient: await world.tensor(of),
        flopsPerDispatch: 1e12,
      },
      bad: {
        ...bad,
        heads: [...NO_COUNT, heads + 1],
        context: [...NO_COUNT, 2 * rows],
        headDim: [...NO_COUNT, 24, 64, 512],
        dtype: [...NO_DTYPE, dtype === "f32" ? "f16" : "f32"],
        q: [...tensors, undefined],
        k: [...tensors, undefined],
        v: [...tensors, undefined],
        ...directions.length > 1 && { outputGradient: [...tensors, undefined] },
        flopsPerDispatch: NO_QUANTITY,
      },
      call: async ({ q, k, v, outputGradient, flopsPerDispatch, ...given }) => {
        const inputs = { q, k, v, outputGradient };
        const prepared = await implementation.prepare(gpu, problemOf(given), {
          inputs,
          flopsPerDispatch,
        });
        prepared.destroy();
      },
    });
  }
  const inputs = {
    q: await world.tensor(wide),
    k: await world.tensor(wide),
    v: await world.tensor(wide),
  };
  const bad = await world.badTensors(wide);
  const shapes = {
    heads: [...NO_COUNT, 3],
    context: [...NO_COUNT, 512],
    headDim: [...NO_COUNT, 64],
    dtype: NO_DTYPE,
  };
  const layer = { heads: 2, context: 256, headDim: 32, dtype: wide.dtype };
  const tensors = { q: [...bad, undefined], k: [...bad, undefined], v: [...bad, undefined] };
  entries.push({
    name: "createContextParallel",
    covers: [],
    good: {
      ...layer,
      ...inputs,
      ...GOOD_LIGHTHOUSE,
      shards: 1,
      partition: "contiguous",
      flopsPerDispatch: 1e12,
    },
    bad: {
      ...shapes,
      ...tensors,
      ...BAD_LIGHTHOUSE,
      shards: [...NO_COUNT, 3],
      partition: NO_WORD,
      flopsPerDispatch: NO_QUANTITY,
    },
    call: async ({ q, k, v, shards, partition, flopsPerDispatch, ...given }) => {
      const { levels, pooling, budget, heads, context, headDim, dtype } = given;
      const made = await createContextParallel(gpu, {
        shape: { heads, context, headDim, dtype },
        options: { levels, pooling, k: budget },
      }, {
        inputs: { q, k, v },
        scorer: kernels.normScorer,
        sharding: { shards, partition },
        flopsPerDispatch,
      });
      made.destroy();
    },
  }, {
    name: "createLighthouseRows",
    covers: [],
    good: { ...layer, ...inputs },
    bad: { ...shapes, ...tensors },
    call: ({ q, k, v, ...shape }) =>
      createLighthouseRows(gpu, { shape: shape as Problem["shape"], q, k, v }).destroy(),
  }, {
    name: "planContextParallel",
    covers: [],
    pure: true,
    good: { context: 1024, ...LIGHTHOUSE, shards: 1, partition: "head-tail", budget: 256 },
    bad: {
      context: [...NO_COUNT, 1025],
      ...BAD_LIGHTHOUSE,
      shards: [...NO_COUNT, 3],
      partition: NO_WORD,
    },
    call: ({ context, shards, partition, levels, pooling, budget: k }) =>
      planContextParallel(context, { levels, pooling, k }, { shards, partition }),
  });
  return entries;
}

async function allEntries(world: World, shape: Shape): Promise<Entry[]> {
  return [
    ...await attentionEntries(world, shape),
    ...await implementationEntries(world, shape),
    ...await kernelEntries(world, shape),
    ...await deviceEntries(world),
    ...referenceEntries(),
    ...await trainingEntries(world),
  ];
}

/**
 * Refused with our own message: the action first, one line, and not caused by a bug in the program.
 */
function requireClear(error: unknown, what: string): void {
  assert.ok(error instanceof Error, `${what}: ${error}`);
  const { name, message } = error;
  const names = ["RangeError", "TypeError", "ShaderError"];
  assert.ok(names.includes(name), `${what}: ${name}: ${message}`);
  // The source of a shader's error is on a second line, which callers print too.
  const first = name === "ShaderError" ? message.split("\n", 1)[0] : message;
  assert.match(first, /^[a-z][\w ,='().-]*: \S.*$/i, `${what}: ${message}`);
  assert.doesNotMatch(
    first,
    /Cannot|undefined \(|is not a function|not iterable|validation error|is not defined/,
    `${what}: ${message}`,
  );
}

function showGiven(name: string, value: unknown): string {
  const plain = (_: string, part: unknown) => typeof part === "bigint" ? `${part}n` : part;
  const text = typeof value === "number" ? `${value}` : JSON.stringify(value, plain);
  return `${name} = ${text?.slice(0, 80)}`;
}

Deno.test("every public function of the kernels is in the table of bad layers", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const world = new World(gpu, (await testGpu(t))!);
  const entries = await allEntries(world, denseShape(2, 20, "f32"));
  const covered = new Set(entries.flatMap(({ name, covers }) => covers ?? [name]));
  // Exempt: arithmetic on 32-bit numbers, which accepts every number; a clock reading; and the
  // check of options itself, which layers call.
  const exempt = ["pcg", "pcgSum4", "compileSeconds", "requireOptions"];
  const functions = Object.entries(kernels).filter(([name, value]) =>
    typeof value === "function" && !name.endsWith("Error") ||
    typeof value === "object" && "prepare" in (value as object)
  ).map(([name]) => name);
  const missing = functions.filter((name) => !covered.has(name) && !exempt.includes(name));
  assert.deepEqual(missing, []);
  world.gpu.destroy();
  world.other.destroy();
});

Deno.test("each bad argument of each public function is refused in one clear line", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const world = new World(gpu, (await testGpu(t))!);
  const unclear: string[] = [];
  for (const shape of [denseShape(2, 20, "f32"), denseShape(3, 33, "f16")]) {
    for (const { name, good, bad, call } of await allEntries(world, shape)) {
      await call(good);
      for (const [argument, values] of Object.entries(bad)) {
        for (const value of values) {
          const what = `${name} with ${showGiven(argument, value)}`;
          let thrown: unknown = "nothing was refused";
          try {
            await call({ ...good, [argument]: value });
          } catch (error) {
            thrown = error;
          }
          try {
            requireClear(thrown, what);
          } catch (error) {
            unclear.push((error as Error).message.split("\n", 1)[0]);
          }
        }
      }
    }
  }
  assert.deepEqual(unclear, []);
  world.gpu.destroy();
  world.other.destroy();
});

Deno.test({
  ...slow("combined faults, and faults of layers of any size, are refused too"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const world = new World(gpu, (await testGpu(t))!);
    const tables = new Map<string, Entry[]>();
    const layer = fc.record({
      heads: fc.integer({ min: 1, max: 3 }),
      rows: fc.integer({ min: 2, max: 40 }),
      dtype: fc.constantFrom<DType>("f16", "f32"),
    });
    await fc.assert(
      fc.asyncProperty(
        layer,
        fc.nat(),
        fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 4 }),
        async ({ heads, rows, dtype }, which, faults) => {
          // Few sizes, each with many faults: building a table of them takes a while.
          const key = `${heads} ${rows % 4} ${dtype}`;
          if (!tables.has(key)) {
            tables.set(key, await allEntries(world, denseShape(heads, 17 * (rows % 4 + 1), dtype)));
          }
          const entries = tables.get(key)!.filter(({ bad }) => Object.keys(bad).length > 0);
          const { name, good, bad, call } = entries[which % entries.length];
          const given = { ...good };
          const parts: string[] = [];
          for (const [argument, value] of faults) {
            const names = Object.keys(bad);
            const chosen = names[argument % names.length];
            given[chosen] = bad[chosen][value % bad[chosen].length];
            parts.push(showGiven(chosen, given[chosen]));
          }
          let error: unknown = "nothing was refused";
          try {
            await call(given);
          } catch (thrown) {
            error = thrown;
          }
          requireClear(error, `${name} with ${parts.join(", ")}`);
        },
      ),
      { numRuns: 600, seed: 20261130 },
    );
    world.gpu.destroy();
    world.other.destroy();
  },
});

Deno.test("after destroy every public function that needs a device throws DeviceLostError", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const world = new World(gpu, (await testGpu(t))!);
  const entries = await allEntries(world, denseShape(2, 20, "f32"));
  const shape = { heads: 2, context: 20, headDim: 32, dtype: "f32" } as const;
  const inputs = { q: 1, k: 2, v: 3, outputGradient: 4 } as unknown as Record<string, Tensor>;
  for (const name of Object.keys(inputs)) {
    inputs[name] = await world.tensor(denseShape(2, 20, "f32"));
  }
  const layers = [];
  for (const direction of ["forward", "backward", "forward-backward"] as const) {
    const given = { inputs: inputs as never };
    layers.push(await kernels.dense.prepare(gpu, { shape, direction }, given));
  }
  gpu.destroy();
  assert.equal(gpu.lost(), "the device was destroyed");
  for (const { name, good, call, pure } of entries) {
    if (pure) {
      await call(good);
      continue;
    }
    // Some throw synchronously, which becomes a rejection here.
    await assert.rejects(async () => await call(good), (error) => {
      assert.ok(error instanceof kernels.DeviceLostError, `${name}: ${error}`);
      assert.match(error.message, /^[a-z].*: the device was destroyed$/, name);
      return true;
    });
  }
  for (const layer of layers) {
    await assert.rejects(layer.execute(), kernels.DeviceLostError);
    layer.destroy();
  }
  world.other.destroy();
});
