/**
 * Checks of properties that need no reference: same bits twice, causality, inputs and digests equal
 * on host and device, and NaN or infinity detected where it was placed.
 *
 * @module
 */
import { readTensor, writeTensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import {
  digestWords,
  inspectTensor,
  NotFiniteError,
  requireFinite,
} from "../../kernels/gpu/inspect.ts";
import { seededRows } from "../../kernels/gpu/random.ts";
import type { AttentionShape, Implementation, Problem } from "../../kernels/implementation.ts";
import { errorLine } from "../errors.ts";
import { describeShape, exact, type VerifyCheck } from "./check_line.ts";
import { createLayerInputs, destroyInputs, withLayer } from "./layer_run.ts";
import { dtypesOf, withDefaults } from "./reference_checks.ts";

/** Two executions and a third, freshly prepared one give the same bits. */
export async function checkDeterminism(
  gpu: Gpu,
  implementation: Implementation,
  options: { problem: Problem; seed: number },
): Promise<VerifyCheck> {
  const { problem, seed } = options;
  const digests = (times: number) =>
    withLayer(gpu, implementation, {
      problem,
      source: { seed },
      use: async ({ execute, outputs }) => {
        const seen: string[] = [];
        for (let i = 0; i < times; i++) {
          await execute();
          const output = await inspectTensor(gpu, outputs.output);
          const lse = await inspectTensor(gpu, outputs.lse);
          const digests = [output.digest, lse.digest];
          for (const tensor of Object.values(outputs.gradients ?? {})) {
            digests.push((await inspectTensor(gpu, tensor)).digest);
          }
          seen.push(digests.join(" "));
        }
        return seen;
      },
    });
  const seen = [...await digests(2), ...await digests(1)];
  const different = new Set(seen).size;
  return exact(
    `${implementation.name} ${describeShape(problem.shape)} determinism`,
    different === 1,
    different === 1
      ? `3 executions, digest ${seen[0].slice(0, 12)}…`
      : `3 executions left ${different} different outputs`,
  );
}

/** Changing rows from j on leaves a dense output before j unchanged, bit for bit. */
export async function checkCausality(
  gpu: Gpu,
  implementation: Implementation,
  options: { seed: number },
): Promise<VerifyCheck> {
  const shape: AttentionShape = { heads: 2, context: 197, headDim: 64, dtype: "f32" };
  const j = 131;
  const name = `${implementation.name} ${describeShape(shape)} causality`;
  const { before, after } = await withLayer(gpu, implementation, {
    problem: withDefaults(implementation, { shape }),
    source: options,
    use: async ({ execute, outputs }, inputs) => {
      await execute();
      const before = await readTensor(gpu, outputs.output);
      for (const tensor of [inputs.q, inputs.k, inputs.v]) {
        const data = await readTensor(gpu, tensor);
        const rows = data.map((x, i) =>
          Math.floor(i / shape.headDim) % shape.context >= j ? 1 - 3 * x : x
        );
        writeTensor(gpu, tensor, rows);
      }
      await execute();
      return { before, after: await readTensor(gpu, outputs.output) };
    },
  });
  const rowOf = (i: number) => Math.floor(i / shape.headDim) % shape.context;
  const moved = before.findIndex((x, i) => rowOf(i) < j && !Object.is(x, after[i]));
  const changed = before.some((x, i) => rowOf(i) >= j && !Object.is(x, after[i]));
  if (moved >= 0) {
    return exact(name, false, `row ${rowOf(moved)} changed although only rows from ${j} on did`);
  }
  return exact(name, changed, changed ? `rows before ${j} kept their bits` : "no output changed");
}

/** The generator and the digest give the same results on the host and on the device. */
export async function checkInputs(gpu: Gpu, options: { seed: number }): Promise<VerifyCheck[]> {
  const checks: VerifyCheck[] = [];
  for (const dtype of dtypesOf(gpu)) {
    const shape: AttentionShape = { heads: 3, context: 301, headDim: 32, dtype };
    const inputs = await createLayerInputs(gpu, shape, options);
    try {
      const device = await readTensor(gpu, inputs.k);
      const { heads, context: count, headDim: dim } = shape;
      let wrong = 0;
      for (let head = 0; head < heads; head++) {
        const want = seededRows(options.seed + 1, { head, heads, first: 0, count, dim, dtype });
        const first = head * count * dim;
        for (let i = 0; i < want.length; i++) {
          wrong += Number(!Object.is(want[i], device[first + i]));
        }
      }
      checks.push(exact(
        `seeded inputs ${describeShape(shape)}`,
        wrong === 0,
        wrong === 0
          ? "the device draws what the host draws"
          : `${wrong} of ${device.length} elements differ between device and host`,
      ));
      const { digest } = await inspectTensor(gpu, inputs.k);
      const words = new Uint32Array(device.buffer, device.byteOffset, device.byteLength / 4);
      const want = digestWords(words);
      checks.push(exact(
        `digest ${describeShape(shape)}`,
        digest === want,
        digest === want ? `${digest.slice(0, 12)}…` : `device ${digest}, host ${want}`,
      ));
    } finally {
      destroyInputs(inputs);
    }
  }
  return checks;
}

/** NaN and infinity in an input are found, counted and named. */
export async function checkNotFinite(gpu: Gpu, options: { seed: number }): Promise<VerifyCheck[]> {
  const checks: VerifyCheck[] = [];
  for (const dtype of dtypesOf(gpu)) {
    for (const value of [NaN, Infinity, -Infinity]) {
      const shape: AttentionShape = { heads: 2, context: 77, headDim: 32, dtype };
      const name = `${value} in ${describeShape(shape)}`;
      const inputs = await createLayerInputs(gpu, shape, options);
      try {
        await requireFinite(gpu, [inputs.q, inputs.k, inputs.v]);
        const data = await readTensor(gpu, inputs.k);
        data[data.length - 5] = value;
        writeTensor(gpu, inputs.k, data);
        await requireFinite(gpu, [inputs.q, inputs.k, inputs.v]);
        checks.push(exact(name, false, "went unnoticed"));
      } catch (error) {
        if (!(error instanceof NotFiniteError)) throw error;
        const line = errorLine(error);
        checks.push(exact(name, /^check k: 1 of /.test(line), `reported as "${line}"`));
      } finally {
        destroyInputs(inputs);
      }
    }
  }
  return checks;
}
