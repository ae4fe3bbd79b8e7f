/**
 * Weights of a trained model in a small file, for the needle test on any device.
 *
 * A safetensors file. Matrices that products read are F16, as the device reads them; embeddings and
 * gains are F32. So an evaluation has the same operands as that of the model that was saved.
 * `__metadata__` has `format`, `version`, `name`, and as JSON `model` (layers, width, heads, ffn,
 * vocabulary, context) and `protocol` (contexts and depths of the model's own evaluation, prompts
 * for each digit if they are more than one, and in `keyed` the same with keys). Positions, norms
 * and tokens are those of `kernels/training/`: rotary positions with Llama 3.1's scaling, ε 1e-5,
 * bytes.
 *
 * @module
 */
import { z } from "zod";
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { ModelOptions } from "../../kernels/training/model/model_options.ts";
import { modelParameters, parameterSize } from "../../kernels/training/model/parameters.ts";
import type { TrainingModel } from "../../kernels/training/model/training_model.ts";
import { UsageError } from "../errors.ts";
import { DenseModels } from "./dense_models.ts";
import { MOST_KEYS } from "./needle_model.ts";

/** What the file says it is. */
const FORMAT = "lighthouse-attention-weights";
const VERSION = "1";

const count = z.int().positive().max(2 ** 24);

const modelSchema = z.strictObject({
  layers: count,
  width: count,
  heads: count,
  ffn: count,
  vocabulary: count.min(128),
  context: count,
});

const cellsSchema = z.strictObject({
  contexts: z.array(count).min(1),
  depths: z.array(z.number().min(0).max(100)).min(1),
  prompts: count.optional(),
});

const protocolSchema = cellsSchema.extend({
  keyed: cellsSchema.extend({ keys: count.max(MOST_KEYS) }).optional(),
});

const tensorSchema = z.looseObject({
  dtype: z.enum(["F16", "F32"]),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});

/** Weights as read. */
export interface TrainedWeights {
  readonly name: string;
  readonly model: z.infer<typeof modelSchema>;
  /** What its own evaluation covered. */
  readonly protocol: z.infer<typeof protocolSchema>;
  /** By parameter. */
  readonly tensors: ReadonlyMap<string, Float32Array>;
}

/** Whether a file is one of weights, by its name. */
export function namesWeights(path: string): boolean {
  return path.endsWith(".safetensors");
}

/** The file of a model's weights of now. */
export async function packWeights(
  model: TrainingModel,
  { name, protocol }: Pick<TrainedWeights, "name" | "protocol">,
): Promise<Uint8Array<ArrayBuffer>> {
  const { layers, width, heads, ffn, vocabulary, context } = model.plan.model;
  const header: Record<string, unknown> = {
    __metadata__: {
      format: FORMAT,
      version: VERSION,
      name,
      model: JSON.stringify({ layers, width, heads, ffn, vocabulary, context }),
      protocol: JSON.stringify(protocol),
    },
  };
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const { name, shape, multiplied } of model.plan.parameters) {
    const values = await model.readParameter(name);
    const data = multiplied ? Float16Array.from(values) : values;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    header[name] = {
      dtype: multiplied ? "F16" : "F32",
      shape: shape[0] === 1 ? [shape[1]] : [...shape],
      data_offsets: [at, at + bytes.length],
    };
    parts.push(bytes);
    at += bytes.length;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil((8 + text.length) / 8) * 8 - 8;
  const file = new Uint8Array(8 + length + at).fill(32, 8, 8 + length);
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
  file.set(text, 8);
  let end = 8 + length;
  for (const part of parts) {
    file.set(part, end);
    end += part.length;
  }
  return file;
}

/**
 * Reads a file of weights.
 *
 * @throws {UsageError} one line, when it is damaged, or of another form.
 */
export function parseWeights(bytes: Uint8Array<ArrayBuffer>, path: string): TrainedWeights {
  const fail = (reason: string): never => {
    throw new UsageError(`checkpoint ${path}: ${reason}`);
  };
  if (bytes.length < 8) fail(`${bytes.length} bytes are no weights`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (length > bytes.length - 8) {
    fail(
      `a header of ${length} bytes in ${bytes.length} bytes: no weights, or only their beginning`,
    );
  }
  let header: Record<string, unknown> = {};
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  } catch {
    fail("the header is not JSON: no weights, or damaged ones");
  }
  const metadata = z.record(z.string(), z.string()).safeParse(header?.__metadata__).data ?? {};
  if (metadata.format !== FORMAT || metadata.version !== VERSION) {
    fail(
      `its format is ${metadata.format ?? "none"}, version ${metadata.version ?? "none"}, not ` +
        `${FORMAT}, version ${VERSION}`,
    );
  }
  const field = <T>(name: string, schema: z.ZodType<T>): T => {
    let value: unknown;
    try {
      value = JSON.parse(metadata[name] ?? "null");
    } catch {
      return fail(`${name} is not JSON`);
    }
    const parsed = schema.safeParse(value);
    return parsed.success ? parsed.data : fail(`${name}: ${parsed.error.issues[0].message}`);
  };
  const model = field("model", modelSchema);
  const protocol = field("protocol", protocolSchema);
  if (model.width % model.heads !== 0) {
    fail(`width ${model.width} is not divided by ${model.heads}`);
  }
  const begin = 8 + length;
  const tensors = new Map<string, Float32Array>();
  for (const parameter of modelParameters(model)) {
    const { name } = parameter;
    const found = tensorSchema.safeParse(header[name]).data;
    if (!found) return fail(`it has no ${name}`);
    const { dtype, data_offsets: [from, to] } = found;
    const size = parameterSize(parameter);
    if (to - from !== size * (dtype === "F16" ? 2 : 4) || begin + to > bytes.length) {
      fail(
        `${name} has ${
          to - from
        } bytes in a file of ${bytes.length}, the model needs ${size} numbers`,
      );
    }
    const data = bytes.slice(begin + from, begin + to).buffer;
    const values = dtype === "F16"
      ? Float32Array.from(new Float16Array(data))
      : new Float32Array(data);
    if (!values.every(Number.isFinite)) fail(`${name} holds numbers that are not finite`);
    tensors.set(name, values);
  }
  return { name: metadata.name ?? "unnamed", model, protocol, tensors };
}

/**
 * The model of a file of weights on a device, at any context.
 *
 * @param dtype of what products read. Default: f16 where the device has it.
 */
export function placeWeights(
  gpu: Gpu,
  { model, tensors }: Pick<TrainedWeights, "model" | "tensors">,
  { dtype = gpu.capabilities.f16 ? "f16" : "f32" }: { dtype?: DType } = {},
): DenseModels {
  const options: ModelOptions = { ...model, dtype };
  return new DenseModels(gpu, options, async (target) => {
    for (const [name, values] of tensors) target.writeParameter(name, new Float32Array(values));
    await target.refreshCopies();
  });
}
