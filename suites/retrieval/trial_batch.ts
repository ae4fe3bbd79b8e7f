/**
 * Trials on the device: one head is one trial, and all heads of a batch are planted, attended and
 * read together.
 *
 * @module
 */
import {
  bytesPerElement,
  createTensor,
  type Dispatch,
  encodeDispatches,
  headsPerBlock,
  readBuffer,
  type Tensor,
  writeBuffer,
} from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import type { AttentionShape } from "../../kernels/implementation.ts";
import {
  type AttendedRow,
  createLastRow,
  filterWords,
  type LastRow,
  mergePartials,
  planLastRow,
  type RowAdmission,
} from "../../kernels/retrieval/last_row.ts";
import {
  createLighthouseRows,
  type LighthouseLayer,
  type LighthouseRows,
  type Pace,
} from "../../kernels/retrieval/lighthouse_last_row.ts";
import type { LayerRows } from "../../kernels/retrieval/layer_rows.ts";
import { Readback } from "../../kernels/retrieval/readback.ts";
import { scaleTensor } from "../../kernels/retrieval/scale_tensor.ts";
import {
  createWeightedRows,
  type WeightedList,
  type WeightedRows,
} from "../../kernels/retrieval/weighted_rows.ts";
import {
  originalRows,
  type PlantedRow,
  plantQuery,
  plantRows,
  QUERY_SCALE,
  type RowEdit,
  type TrialSource,
} from "./planting.ts";

/** Bytes that one of Q, K and V may take, so that small devices hold a batch and its scratch. */
const TENSOR_BYTES = 2 ** 30;

/** Trials that fit one batch. */
export function batchHeads(gpu: Pick<Gpu, "capabilities">, shape: AttentionShape): number {
  const { heads, context: rows, headDim: dim, dtype } = shape;
  // Scores of all pyramid entries, f32, stay below the rows' bytes for every d of at least 16.
  const fit = headsPerBlock(gpu, [{ heads, rows, dim, dtype }]);
  return Math.max(
    1,
    Math.min(fit, Math.floor(TENSOR_BYTES / (rows * dim * bytesPerElement(dtype)))),
  );
}

/** The rows that the last row of every head attends to. */
export interface AttendRequest {
  /** One pass over all rows each: the rows that each head admits. */
  readonly plain: readonly (readonly RowAdmission[])[];
  readonly layers?: readonly LighthouseLayer[];
  /** Base rows of each head whose selection is requested, the same number for all. */
  readonly watched?: readonly (readonly number[])[];
  /** One sum of weighted rows of V each: the list of each head. */
  readonly lists?: readonly (readonly WeightedList[])[];
  readonly signal?: AbortSignal;
}

/** Results of an {@linkcode AttendRequest}, in its order. */
export interface AttendResult {
  /** By pass, then by head. */
  readonly plain: readonly AttendedRow[][];
  readonly layers: readonly LayerRows[];
  /** By list, then by head: `[d]`. */
  readonly listed: readonly Float64Array[][];
}

/** A batch of trials of one shape, reused from seed to seed. */
export class TrialBatch {
  readonly shape: AttentionShape;
  readonly inputs: { q: Tensor; k: Tensor; v: Tensor };
  readonly #gpu: Gpu;
  readonly #lastRow: LastRow;
  readonly #dispatch: Dispatch;
  readonly #layers: LighthouseRows;
  readonly #sums = new Map<number, WeightedRows>();
  #seed = 0;
  #queries: (Float32Array | Float16Array)[] = [];
  #edited: number[][] = [];

  private constructor(
    gpu: Gpu,
    parts: {
      shape: AttentionShape;
      inputs: TrialBatch["inputs"];
      lastRow: LastRow;
      layers: LighthouseRows;
    },
  ) {
    this.#gpu = gpu;
    this.shape = parts.shape;
    this.inputs = parts.inputs;
    this.#lastRow = parts.lastRow;
    this.#layers = parts.layers;
    const { k, v } = parts.inputs;
    this.#dispatch = parts.lastRow.bind({ k: k.blocks[0].data, v: v.blocks[0].data });
  }

  /**
   * Allocates Q, K, V and compiles the dense last row. `pace` is the rate that the device is known
   * to reach.
   *
   * @throws {MemoryError} when the device has no room for them.
   */
  static async create(
    gpu: Gpu,
    shape: AttentionShape,
    options: { pace?: Pace } = {},
  ): Promise<TrialBatch> {
    const { heads, context: rows, headDim: dim, dtype } = shape;
    const made: { destroy: () => void }[] = [];
    try {
      const tensor = async (label: string) => {
        const one = await createTensor(gpu, { heads, rows, dim, dtype }, {
          label,
          headsPerBlock: heads,
        });
        made.push(one);
        return one;
      };
      const inputs = { q: await tensor("q"), k: await tensor("k"), v: await tensor("v") };
      const lastRow = await createLastRow(gpu, planLastRow(shape));
      made.push(lastRow);
      const layers = createLighthouseRows(gpu, { shape, ...inputs }, options);
      return new TrialBatch(gpu, { shape, inputs, lastRow, layers });
    } catch (error) {
      made.forEach((one) => one.destroy());
      throw error;
    }
  }

  /** Generates the batch of a seed, with its last queries and without needles. */
  async fill(seed: number): Promise<void> {
    this.#seed = seed;
    const { q, k, v } = this.inputs;
    for (const [i, tensor] of [q, k, v].entries()) await fillSeeded(this.#gpu, tensor, seed + i);
    await scaleTensor(this.#gpu, q, QUERY_SCALE);
    this.#edited = Array.from({ length: this.shape.heads }, () => []);
    this.#queries = Array.from(
      { length: this.shape.heads },
      (_, head) => plantQuery(this.source(head)),
    );
    for (const [head, query] of this.#queries.entries()) {
      this.#writeRow(q, { head, row: this.shape.context - 1 }, query);
      writeBuffer(this.#gpu, {
        ...this.#lastRow.queries,
        offset: this.#lastRow.queries.offset + head * query.byteLength,
        size: query.byteLength,
      }, query);
    }
  }

  /** The source of the rows of one trial. */
  source(head: number): TrialSource {
    const { heads, context, headDim, dtype } = this.shape;
    return { seed: this.#seed, head, heads, context, headDim, dtype };
  }

  /** The last query of one trial, as stored. */
  query(head: number): Float32Array | Float16Array {
    return this.#queries[head];
  }

  /** Plants edits, `[heads][…]`, after restoring the rows edited before. */
  plant(edits: readonly (readonly RowEdit[])[]): PlantedRow[][] {
    this.restore();
    return edits.map((own, head) => {
      const planted = plantRows(this.source(head), this.#queries[head], own);
      for (const one of planted) this.#write(head, one);
      this.#edited[head] = own.map(({ row }) => row);
      return planted;
    });
  }

  /** Restores all edited rows. */
  restore(): void {
    for (const [head, rows] of this.#edited.entries()) {
      for (const one of originalRows(this.source(head), rows)) this.#write(head, one);
      this.#edited[head] = [];
    }
  }

  /** Attention of the last row of every head over the rows that its filter admits; default: all. */
  async attend(admissions?: readonly RowAdmission[]): Promise<readonly AttendedRow[]> {
    const finish = await this.start({ plain: [admissions ?? []] });
    return (await finish()).plain[0];
  }

  /**
   * Submits a request over the current batch; planting again does not affect it.
   *
   * @returns a function that waits for the results.
   */
  async start(request: AttendRequest): Promise<() => Promise<AttendResult>> {
    const { plain, layers = [], watched = [], lists = [], signal } = request;
    const { heads } = this.shape;
    const { filters, partials, plan } = this.#lastRow;
    const readback = new Readback(this.#gpu, plain.length * partials.size);
    const places = plain.map((admissions) => {
      const words = Array.from({ length: heads }, (_, head) => filterWords(admissions[head] ?? {}));
      writeBuffer(this.#gpu, filters, Uint32Array.from(words.flat()));
      const encoder = this.#gpu.device.createCommandEncoder({ label: "last row" });
      const pass = encoder.beginComputePass();
      encodeDispatches(pass, [this.#dispatch]);
      pass.end();
      const place = readback.take(encoder, partials);
      readback.submit(encoder, "last row");
      return place;
    });
    const read = readback.read();
    // Awaited later; a lost device is reported there.
    read.catch(() => {});
    const sums: (() => Promise<Float64Array[]>)[] = [];
    for (const own of lists) sums.push(await this.#startSum(own));
    const finishLayers = await this.#layers.start(layers, watched, { signal });
    return async () => {
      const bytes = await read;
      return {
        plain: places.map((place) =>
          mergePartials(plan, new Float32Array(bytes, place, partials.size / 4)).map(([row]) => row)
        ),
        layers: await finishLayers(),
        listed: await Promise.all(sums.map((finish) => finish())),
      };
    };
  }

  /** Submits sums of weighted rows; the returned function waits for the result, `[heads][d]`. */
  async #startSum(lists: readonly WeightedList[]): Promise<() => Promise<Float64Array[]>> {
    const longest = lists.reduce((most, { rows }) => Math.max(most, rows.length), 1);
    // Few sizes serve lists of all lengths.
    const width = Math.min(2 ** Math.ceil(Math.log2(longest)), this.shape.context);
    let sum = this.#sums.get(width);
    if (!sum) {
      const values = this.inputs.v.blocks[0].data;
      sum = await createWeightedRows(this.#gpu, { ...this.shape, width }, values);
      this.#sums.set(width, sum);
    }
    const { dispatch, partials, outputs, write } = sum;
    write(lists);
    const readback = new Readback(this.#gpu, partials.size);
    const encoder = this.#gpu.device.createCommandEncoder({ label: "weighted rows" });
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, [dispatch]);
    pass.end();
    const place = readback.take(encoder, partials);
    readback.submit(encoder, "weighted rows");
    const read = readback.read();
    // Awaited later; a lost device is reported there.
    read.catch(() => {});
    return async () => outputs(new Float32Array(await read, place, partials.size / 4));
  }

  /**
   * Logits of all rows for the last query as the last `attend` computed them, f32 `[N]` by head.
   */
  async readLogits(): Promise<Float32Array[]> {
    const { heads, context } = this.shape;
    const bytes = await readBuffer(this.#gpu, {
      ...this.#lastRow.logits,
      size: heads * context * 4,
    });
    const all = new Float32Array(bytes.buffer);
    return Array.from(
      { length: heads },
      (_, head) => all.subarray(head * context, (head + 1) * context),
    );
  }

  /** Frees everything. */
  destroy(): void {
    this.#sums.forEach((sum) => sum.destroy());
    this.#sums.clear();
    this.#layers.destroy();
    this.#lastRow.destroy();
    Object.values(this.inputs).forEach((tensor) => tensor.destroy());
  }

  #write(head: number, { row, key, value }: Pick<PlantedRow, "row" | "key" | "value">): void {
    this.#writeRow(this.inputs.k, { head, row }, key);
    this.#writeRow(this.inputs.v, { head, row }, value);
  }

  #writeRow(tensor: Tensor, at: { head: number; row: number }, data: ArrayBufferView): void {
    const { buffer, offset } = tensor.blocks[0].data;
    const place = offset + (at.head * this.shape.context + at.row) * data.byteLength;
    writeBuffer(this.#gpu, { buffer, offset: place, size: data.byteLength }, data);
  }
}
