/**
 * Checkpoints: weights, moments and the state of a training run in one file, from which a run goes
 * on with the same bits.
 *
 * The file is a safetensors file (8 bytes: length of the header, little-endian; the header, JSON;
 * then the tensors, one after the other), so that other programs read it:
 *
 * - `<parameter>`: F32, names and shapes as `model/parameters.ts` has them; gains have one
 *   dimension. Rows of `ffn.gate_up` are gates (w1) and values (w3) in turn.
 * - `<parameter>.first_moment`, `<parameter>.second_moment`: F32, of AdamW.
 * - `step_state`: U32 `[12]`, the bits of the fields of `STEP_STATE` in their order: updates, steps
 *   tried (which, with the seed, is the state of the data), loss scale, powers of the decays.
 * - `checksums`: U32, CRC-32 of every tensor before it, in the order of their offsets.
 * - `__metadata__`: `format`, `version`, `model` (JSON of layers, width, heads, ffn, vocabulary),
 *   `sampler` (JSON of seed and corpusBytes, or null), and what the caller adds.
 *
 * How layers attend is not part of it: a run may go on with other attention, as the paper's second
 * stage does.
 *
 * @module
 */
import { readBuffer, writeBuffer } from "../../gpu/buffers.ts";
import { type Gpu, requireDevice } from "../../gpu/device.ts";
import { requireRecord, requireWhole, show } from "../../gpu/require.ts";
import type { TrainingModel } from "../model/training_model.ts";
import { type Parameter, parameterSize } from "../model/parameters.ts";
import { STEP_STATE_BYTES } from "../optimizer/step_state.ts";
import { crc32 } from "./crc32.ts";

/** What a checkpoint says it is. */
export const CHECKPOINT_FORMAT = "lighthouse-attention-training";

/** Version of the format. */
export const CHECKPOINT_VERSION = "1";

/** Bytes that can be read from any place: a file, a blob, memory. */
export interface CheckpointSource {
  /** All bytes. */
  readonly size: number;
  /** Bytes `offset … offset + length - 1`. */
  readonly read: (offset: number, length: number) => Promise<Uint8Array>;
}

/** A blob (in Deno and browsers, a file too) as a source. */
export function blobSource(blob: Blob): CheckpointSource {
  if (!(blob instanceof Blob)) throw new TypeError(`read blob: ${show(blob)} is not a blob`);
  return {
    size: blob.size,
    read: async (offset, length) =>
      new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  };
}

/** A tensor of a checkpoint. */
interface Entry {
  /** Name in the file. */
  readonly name: string;
  /** Buffer of the model that it is of. */
  readonly buffer: string;
  readonly dtype: "F32" | "U32";
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** A tensor as a header has it. */
export interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** A header that was read. */
export interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, HeaderEntry>;
  /** Where the tensors begin. */
  readonly begin: number;
}

const SAVE = "save checkpoint";
const LOAD = "load checkpoint";

/** Bytes that are read at once. */
const PIECE = 64 * 2 ** 20;

/** Longest header that is read. */
const LONGEST_HEADER = 64 * 2 ** 20;

/** Every tensor of a checkpoint of these parameters but the checksums, in their order. */
function entriesOf(parameters: readonly Parameter[]): Entry[] {
  const tensors = parameters.flatMap((parameter): Entry[] => {
    const [rows, columns] = parameter.shape;
    const { name } = parameter;
    const size = {
      dtype: "F32" as const,
      shape: rows === 1 ? [columns] : [rows, columns],
      bytes: parameterSize(parameter) * 4,
    };
    return [
      { name, buffer: `${name} weights`, ...size },
      { name: `${name}.first_moment`, buffer: `${name} first moment`, ...size },
      { name: `${name}.second_moment`, buffer: `${name} second moment`, ...size },
    ];
  });
  const words = STEP_STATE_BYTES / 4;
  return [
    ...tensors,
    {
      name: "step_state",
      buffer: "step state",
      dtype: "U32",
      shape: [words],
      bytes: STEP_STATE_BYTES,
    },
  ];
}

/** Checks that something is a training model. */
function requireModelRecord(action: string, model: TrainingModel): void {
  requireRecord(action, "the model", model);
  if (typeof model.buffer === "function" && typeof model.plan === "object") return;
  throw new TypeError(`${action}: ${show(model)} is not a training model`);
}

function shapeOf({ plan }: TrainingModel): string {
  const { layers, width, heads, ffn, vocabulary } = plan.model;
  return JSON.stringify({ layers, width, heads, ffn, vocabulary });
}

/**
 * The bytes of a checkpoint, piece by piece, to be written in order. The model must not run
 * meanwhile.
 *
 * @param options `metadata`: text by name that the file carries too, for example what the data are.
 * @throws {TypeError} when a piece of metadata is no text, or has a name that the format uses.
 * @throws {RefusedError} when the device refused a read.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 *
 * @example
 * ```ts
 * import { type Gpu } from "../../gpu/device.ts";
 * import { type TrainingModel } from "../model/training_model.ts";
 * import { blobSource, loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
 *
 * async function copy(gpu: Gpu, from: TrainingModel, to: TrainingModel) {
 *   const pieces: BlobPart[] = [];
 *   for await (const piece of saveCheckpoint(gpu, from)) pieces.push(piece);
 *   await loadCheckpoint(gpu, to, blobSource(new Blob(pieces)));
 * }
 * ```
 */
export async function* saveCheckpoint(
  gpu: Gpu,
  model: TrainingModel,
  { metadata = {} }: { readonly metadata?: Readonly<Record<string, string>> } = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  requireModelRecord(SAVE, model);
  requireRecord(SAVE, "the metadata", metadata);
  const own = {
    format: CHECKPOINT_FORMAT,
    version: CHECKPOINT_VERSION,
    model: shapeOf(model),
    sampler: JSON.stringify(model.sampler ?? null),
  };
  for (const [name, value] of Object.entries(metadata)) {
    if (typeof value !== "string") {
      throw new TypeError(`${SAVE}: metadata ${show(name)} is ${show(value)}, not text`);
    }
    if (name in own) throw new TypeError(`${SAVE}: metadata ${name} is the format's own`);
  }
  const entries = entriesOf(model.plan.parameters);
  const checksums = new Uint32Array(entries.length);
  const header: Record<string, unknown> = { __metadata__: { ...metadata, ...own } };
  let at = 0;
  const all = [
    ...entries,
    { name: "checksums", dtype: "U32", shape: [entries.length], bytes: checksums.byteLength },
  ];
  for (const { name, dtype, shape, bytes } of all) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Tensors begin at a multiple of 8 bytes; JSON may end with spaces.
  const length = Math.ceil((8 + text.length) / 8) * 8 - 8;
  const head = new Uint8Array(8 + length).fill(32);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(text, 8);
  yield head;
  for (const [i, { buffer, bytes }] of entries.entries()) {
    const data = (await readBuffer(gpu, model.buffer(buffer))).subarray(0, bytes);
    checksums[i] = crc32(data);
    yield data;
  }
  yield new Uint8Array(checksums.buffer);
}

/**
 * Replaces weights, moments and state of a model by those of a checkpoint. The whole file is
 * checked first: where it is refused, the model keeps what it has.
 *
 * @returns the metadata of the file.
 * @throws {TypeError} when the source is not one.
 * @throws {RangeError} one line, when the file is no checkpoint, is damaged, or is of a model of
 * another shape or with other data.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function loadCheckpoint(
  gpu: Gpu,
  model: TrainingModel,
  source: CheckpointSource,
): Promise<Readonly<Record<string, string>>> {
  requireModelRecord(LOAD, model);
  requireRecord(LOAD, "the source", source);
  if (typeof source.read !== "function") {
    throw new TypeError(`${LOAD}: the source cannot be read: ${show(source.read)}`);
  }
  requireWhole(LOAD, "bytes of the source", source.size, { least: 0 });
  requireDevice(gpu, LOAD);
  const header = await readHeader(source);
  requireModel(header, model);
  const entries = entriesOf(model.plan.parameters);
  const checksums = await readChecksums(header, source, entries.length);
  await requireUndamaged(header, source, { names: entries.map(({ name }) => name), checksums });
  for (const { name, buffer } of entries) {
    const [begin, end] = header.tensors.get(name)!.data_offsets;
    const target = model.buffer(buffer);
    for (let at = begin; at < end; at += PIECE) {
      const size = Math.min(PIECE, end - at);
      const data = await readPart(source, header.begin + at, size);
      writeBuffer(gpu, { buffer: target.buffer, offset: target.offset + at - begin, size }, data);
    }
  }
  await model.refreshCopies();
  return header.metadata;
}

/** Checks the checksum of each tensor. */
export async function requireUndamaged(
  header: Header,
  source: CheckpointSource,
  { names, checksums }: { readonly names: readonly string[]; readonly checksums: Uint32Array },
): Promise<void> {
  for (const [i, name] of names.entries()) {
    const [begin, end] = header.tensors.get(name)!.data_offsets;
    let found = 0;
    for (let at = begin; at < end; at += PIECE) {
      found = crc32(await readPart(source, header.begin + at, Math.min(PIECE, end - at)), found);
    }
    if (found === checksums[i]) continue;
    const hex = (value: number) => value.toString(16).padStart(8, "0");
    throw new RangeError(
      `${LOAD}: ${name} is damaged: its checksum is ${hex(found)}, the file says ` +
        hex(checksums[i]),
    );
  }
}

async function readPart(
  source: CheckpointSource,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = await source.read(offset, length);
  if (bytes.length === length) return bytes;
  throw new RangeError(`${LOAD}: ${bytes.length} of ${length} bytes could be read at ${offset}`);
}

/** Reads the header of a file. */
export async function readHeader(source: CheckpointSource): Promise<Header> {
  const { size } = source;
  if (size < 8) throw new RangeError(`${LOAD}: ${size} bytes are no checkpoint`);
  const head = await readPart(source, 0, 8);
  const length = Number(new DataView(head.buffer, head.byteOffset, 8).getBigUint64(0, true));
  if (length > Math.min(LONGEST_HEADER, size - 8)) {
    throw new RangeError(
      `${LOAD}: a header of ${length} bytes in ${size} bytes: no checkpoint, or only its beginning`,
    );
  }
  const text = new TextDecoder().decode(await readPart(source, 8, length));
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new RangeError(`${LOAD}: the header is not JSON: no checkpoint, or a damaged one`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new RangeError(`${LOAD}: the header is ${show(parsed)}, not an object`);
  }
  const { __metadata__: metadata = {}, ...tensors } = parsed as Record<string, unknown>;
  if (typeof metadata !== "object" || metadata === null) {
    throw new RangeError(`${LOAD}: the metadata are ${show(metadata)}, not an object`);
  }
  const begin = 8 + length;
  const entries = new Map<string, HeaderEntry>();
  let end = 0;
  for (const [name, value] of Object.entries(tensors)) {
    const entry = value as HeaderEntry;
    const offsets = entry?.data_offsets;
    const holds = Array.isArray(entry?.shape) && Array.isArray(offsets) && offsets.length === 2 &&
      offsets.every((offset) => Number.isSafeInteger(offset) && offset >= 0) &&
      offsets[0] <= offsets[1];
    if (!holds) throw new RangeError(`${LOAD}: the header's entry of ${show(name)} is damaged`);
    end = Math.max(end, offsets[1]);
    entries.set(name, entry);
  }
  if (begin + end !== size) {
    throw new RangeError(
      `${LOAD}: the file has ${size} bytes, its header needs ${begin + end}: it is damaged`,
    );
  }
  return { metadata: metadata as Record<string, string>, tensors: entries, begin };
}

/** Checks that a file is a checkpoint that this code reads. */
export function requireFormat({ metadata }: Pick<Header, "metadata">): void {
  const { format, version } = metadata;
  if (format !== CHECKPOINT_FORMAT) {
    throw new RangeError(`${LOAD}: the file's format is ${show(format)}, not ${CHECKPOINT_FORMAT}`);
  }
  if (version !== CHECKPOINT_VERSION) {
    throw new RangeError(
      `${LOAD}: the file's version is ${show(version)}, this reads ${CHECKPOINT_VERSION}`,
    );
  }
}

/** Checks that a file is a checkpoint of this model, tensor by tensor. */
function requireModel({ metadata, tensors }: Header, model: TrainingModel): void {
  requireFormat({ metadata });
  if (metadata.model !== shapeOf(model)) {
    throw new RangeError(
      `${LOAD}: the file is of a model ${metadata.model}, this one is ${shapeOf(model)}`,
    );
  }
  if (model.sampler && metadata.sampler !== JSON.stringify(model.sampler)) {
    const sampler = JSON.stringify(model.sampler);
    throw new RangeError(
      `${LOAD}: the file's batches come from ${metadata.sampler}, this model's from ${sampler}`,
    );
  }
  requireTensors(tensors, model.plan.parameters);
}

/** Checks that a file has the tensors of these parameters. */
export function requireTensors(
  tensors: Header["tensors"],
  parameters: readonly Parameter[],
): void {
  for (const { name, dtype, shape, bytes } of entriesOf(parameters)) {
    const found = tensors.get(name);
    if (!found) throw new RangeError(`${LOAD}: the file has no ${name}`);
    const [begin, end] = found.data_offsets;
    const fits = found.dtype === dtype && found.shape.join() === shape.join() &&
      end - begin === bytes;
    if (fits) continue;
    throw new RangeError(
      `${LOAD}: ${name} is ${found.dtype} [${found.shape}] of ${end - begin} bytes in the file, ` +
        `the model needs ${dtype} [${shape}]`,
    );
  }
}

/** The checksums of so many tensors. */
export async function readChecksums(
  { tensors, begin }: Header,
  source: CheckpointSource,
  count: number,
): Promise<Uint32Array> {
  const found = tensors.get("checksums");
  const [from, to] = found?.data_offsets ?? [0, 0];
  if (to - from !== count * 4) {
    throw new RangeError(
      `${LOAD}: the file has ${(to - from) / 4} checksums, its tensors need ${count}`,
    );
  }
  const bytes = await readPart(source, begin + from, to - from);
  return new Uint32Array(bytes.slice().buffer);
}
