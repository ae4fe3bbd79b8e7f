/**
 * Sizes derived from the tiling of a portable kernel.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import type { Tiling } from "../tilings.ts";

/** A tiling and what it is applied to. */
export interface TileProgram {
  readonly tiling: Tiling;
  readonly headDim: number;
  /** Type that rows are read in. */
  readonly dtype: DType;
  /** Type that `generateStoreRows` stores rows in. Default: `dtype`. */
  readonly stored?: DType;
  /** Distance between consecutive rows of a sequence in the tensors, in rows. Default 1. */
  readonly rowStride?: number;
  /**
   * Columns are rows of other tensors than own rows (`TileWalk.apart`): their first row is the
   * private variable `column0Row`, their number `columnRows`. Default false.
   */
  readonly apart?: boolean;
  /** Query heads that share a head of keys and values. Default 1. */
  readonly group?: number;
}

/** Sizes derived from a tiling and a head dimension. */
export interface TileLayout {
  readonly threads: number;
  readonly rowsPerThread: number;
  readonly columnsPerThread: number;
  /** Groups of four columns of d that a thread owns. */
  readonly depthGroups: number;
  readonly chunks: number;
  /** Vectors of four f32 in one of the two stages. */
  readonly stageVectors: number;
  /**
   * Vectors of a row of a stage that is declared as an array of rows,
   * `array<array<vec4f, width>, chunk>`; 0: it is one array of vectors. A row's number is a
   * constant where stages are multiplied, so that what a stack adds to check an index is the same
   * for all rows and is done once.
   */
  readonly stageWidth: number;
  readonly workgroupBytes: number;
}

/**
 * Computes the layout of a tiling.
 *
 * @throws {RangeError} when the tiling does not divide evenly.
 */
export function layOut(tiling: Tiling, headDim: number): TileLayout {
  const { tileRows, tileColumns, threadsX, threadsY, chunk } = tiling;
  const whole = (name: string, value: number) => {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`lay out tiles: ${name} = ${value} is not a whole number`);
    }
    return value;
  };
  const rowsPerThread = 4 * whole("tileRows / (4 * threadsY)", tileRows / (4 * threadsY));
  const columnsPerThread = 4 *
    whole("tileColumns / (4 * threadsX)", tileColumns / (4 * threadsX));
  const depthGroups = whole("headDim / (4 * threadsX)", headDim / (4 * threadsX));
  const chunks = whole("headDim / chunk", headDim / chunk);
  whole("chunk / 8", chunk / 8);
  whole("chunks / 2", chunks / 2); // stages alternate: every product must begin with stage 0
  const first = chunk * (tileRows + tileColumns) / 4;
  const second = threadsX * headDim / 4 + threadsX * (tileRows / 4 + 1);
  const reduction = tileRows * threadsX / 4;
  const flat = Math.max(first, second, reduction);
  const width = Math.max((tileRows + tileColumns) / 4, headDim / 4 + tileRows / 4 + 1);
  // Rows of the stage then serve both products; weights are stored a row apart, in all banks.
  const inRows = chunk === threadsX && width % 2 === 1 && width * chunk <= flat &&
    reductionRows({ tiling, width }) <= chunk;
  const stageWidth = inRows ? width : 0;
  const stageVectors = inRows ? width * chunk : flat;
  return {
    threads: threadsX * threadsY,
    rowsPerThread,
    columnsPerThread,
    depthGroups,
    chunks,
    stageVectors,
    stageWidth,
    workgroupBytes: 2 * 16 * stageVectors,
  };
}

/** Rows of the tile whose values to reduce lie in one row of a stage of rows. */
export function reducedRows({ tiling, width }: { tiling: Tiling; width: number }): number {
  return Math.floor(4 * width / tiling.threadsX);
}

function reductionRows(of: { tiling: Tiling; width: number }): number {
  return Math.ceil(of.tiling.tileRows / reducedRows(of));
}

/** Elements of a row in 16 bytes. */
export function elementsPerVector(dtype: DType): number {
  return dtype === "f16" ? 8 : 4;
}
