/**
 * Golden vectors: a folder with a manifest of cases whose inputs anyone can regenerate, and the
 * results of the published implementation. `fixtures/golden` is one such folder; any other of the
 * same format can be used too.
 *
 * @module
 */
import { gunzipSync } from "node:zlib";
import { z } from "zod";
import {
  type LighthouseGeometry,
  planGeometry,
} from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { errorLine, UsageError } from "../errors.ts";
import type { BaselineCase, ForwardCase, GoldenArray, SelectionCase } from "./golden_types.ts";

export type * from "./golden_types.ts";

/** A golden folder that cannot be used; one line that names the file. Exit code 2. */
export class GoldenError extends UsageError {
  override readonly name = "GoldenError";
}

const count = z.int().positive();
const seed = z.int().min(0).max(2 ** 32 - 4);
const digest = z.string().regex(/^[0-9a-f]{64}$/, "is not a SHA-256 in lower-case hexadecimal");
/** A plain name: a manifest must not reach outside its folder. */
const fileName = z.string().regex(/^\w[\w.-]*$/, "is not a plain file name");

const shapeFields = {
  case: z.string().regex(/^[\w.-]+$/, "is not a plain name").describe("Name of the case."),
  N: count.describe("Context."),
  L: count.describe("Levels."),
  p: count.describe("Pooling factor."),
  k: count.describe("Selection budget."),
  H: count.describe("Heads."),
  S: count.describe("Gathered rows of each head."),
  seed: seed.describe("Seed of the first input; the others use the next ones."),
};

export const selectionCaseSchema: z.ZodType<SelectionCase> = z.looseObject({
  ...shapeFields,
  sha256: digest.describe("SHA-256 of the little-endian int32 indices `[H, S]`."),
  indices: fileName.optional().describe("File with the indices themselves."),
}).meta({ id: "SelectionCase", description: "One selection case: scores in, gathered order out." });

const arraySchema: z.ZodType<GoldenArray> = z.looseObject({
  file: fileName.describe("Name in the folder of the manifest."),
  shape: z.array(count).min(1).describe("Sizes, outermost first."),
  rows: z.looseObject({
    first: z.int().nonnegative().describe("The first row."),
    step: count.describe("From one row to the next."),
  }).optional().describe("Which rows of the context it holds. Default: all."),
}).meta({
  id: "GoldenArray",
  description: "A file of little-endian numbers and the shape of what it holds.",
});

export const forwardCaseSchema: z.ZodType<ForwardCase> = z.looseObject({
  ...shapeFields,
  D: count.describe("Head dimension."),
  scorer: z.enum(["norm", "dilated", "gla"]).describe(
    "Scorer that ranked the entries of the pyramid.",
  ),
  dilation: count.nullable().optional().describe("δ of the dilated and gla scorers."),
  idx_sha256: digest.describe("SHA-256 of the little-endian int32 indices `[H, S]`."),
  zero_rows: z.int().nonnegative().describe("Rows that no entry covers."),
  files: z.looseObject({
    idx: arraySchema.describe("Pyramid indices in gathered order, `[H, S]`."),
    out: arraySchema.describe("Output, `[H, N, D]`."),
  }).catchall(arraySchema).describe(
    "Indices and output; other arrays, for example gradients, by name.",
  ),
}).meta({
  id: "ForwardCase",
  description: "One layer case: Q, K and V in, the layer's output (and gradients) out.",
});

export const baselineCaseSchema: z.ZodType<BaselineCase> = z.looseObject({
  case: shapeFields.case,
  method: z.string().describe("Name of the implementation."),
  N: shapeFields.N,
  H: shapeFields.H,
  kvHeads: count.describe("Key heads."),
  D: count.describe("Head dimension."),
  seed: shapeFields.seed,
  inputs: z.record(z.string(), z.enum(["raw", "grid2"])).describe(
    "How each input is drawn: as generated, or rounded to halves.",
  ),
  options: z.record(z.string(), z.number()).describe("Options of the layer."),
  files: z.record(z.string(), arraySchema).describe(
    "`out`, `dq`, `dk`, `dv` `[heads, rows, D]`, `lse` `[H, rows]`, and lists, by name.",
  ),
}).meta({
  id: "BaselineCase",
  description: "One case of a sparse attention: Q, K, V and dO in, output and gradients out.",
});

/** A whole manifest. */
export const manifestSchema = z.looseObject({
  generator: z.looseObject({ name: z.literal("pcg-sum4") }),
  selection: z.array(selectionCaseSchema),
  forward: z.array(forwardCaseSchema),
  baselines: z.array(baselineCaseSchema).default([]),
});

/** The golden vectors of this project. */
export const DEFAULT_GOLDEN = new URL("../../fixtures/golden/", import.meta.url);

/** A manifest that was read and checked, with access to its files. */
export class Golden {
  readonly #folder: URL;
  readonly #shown: string;
  /** Cases with given scores. */
  readonly selection: readonly SelectionCase[];
  /** Cases of whole layers. */
  readonly forward: readonly ForwardCase[];
  /** Cases of sparse attentions. */
  readonly baselines: readonly BaselineCase[];

  /** Use {@linkcode readGolden}. */
  constructor(
    source: { folder: URL; shown: string },
    cases: {
      selection: readonly SelectionCase[];
      forward: readonly ForwardCase[];
      baselines?: readonly BaselineCase[];
    },
  ) {
    this.#folder = source.folder;
    this.#shown = source.shown;
    this.selection = cases.selection;
    this.forward = cases.forward;
    this.baselines = cases.baselines ?? [];
  }

  /**
   * Little-endian int32 values of a file.
   *
   * @throws {GoldenError} when the file cannot be read or holds another number of values.
   */
  async readIndices(file: string, length: number): Promise<Int32Array> {
    return new Int32Array(await this.#read(file, length));
  }

  /**
   * Little-endian float32 values of a file.
   *
   * @throws {GoldenError} when the file cannot be read or holds another number of values.
   */
  async readFloats(file: string, length: number): Promise<Float32Array> {
    return new Float32Array(await this.#read(file, length));
  }

  async #read(file: string, length: number): Promise<ArrayBuffer> {
    const path = `${this.#shown}${file}`;
    const packed = await readBytes(new URL(file, this.#folder), path);
    const wanted = length * 4;
    let bytes: Uint8Array;
    try {
      // One spare byte, so that a longer file is noticed.
      bytes = file.endsWith(".gz") ? gunzipSync(packed, { maxOutputLength: wanted + 1 }) : packed;
    } catch (error) {
      const long = error instanceof RangeError;
      throw new GoldenError(
        `read ${path}: ${
          long ? `more than ${wanted} bytes, the limit by its shape` : errorLine(error)
        }`,
      );
    }
    if (bytes.length !== wanted) {
      throw new GoldenError(`read ${path}: ${bytes.length} bytes, its shape needs ${wanted}`);
    }
    return new Uint8Array(bytes).buffer;
  }

  /** Fails for the first file of the manifest that is missing. */
  async requireFiles(): Promise<void> {
    const files = [
      ...this.selection.flatMap((entry) => entry.indices ?? []),
      ...[...this.forward, ...this.baselines].flatMap(({ files }) =>
        Object.values<GoldenArray>(files).map(({ file }) => file)
      ),
    ];
    for (const file of files) {
      try {
        const url = new URL(file, this.#folder);
        await (url.protocol === "file:" ? Deno.stat(url) : download(url, { method: "HEAD" }));
      } catch (error) {
        throw new GoldenError(`read ${this.#shown}${file}: ${fileFailure(error)}`);
      }
    }
  }
}

/**
 * Reads and checks a golden folder.
 *
 * @param folder path, or URL that ends with a slash. Default: {@linkcode DEFAULT_GOLDEN}.
 * @throws {GoldenError} one line: not readable, not JSON, not of the format (naming the field), a
 * shape that no Lighthouse layer can have, or a missing file of the manifest.
 *
 * @example
 * ```ts
 * import { readGolden } from "./golden.ts";
 * import assert from "node:assert/strict";
 * const golden = await readGolden();
 * assert.equal(golden.selection[0].S, 1152);
 * ```
 */
export async function readGolden(folder: string | URL = DEFAULT_GOLDEN): Promise<Golden> {
  const url = typeof folder === "string" ? folderUrl(folder) : folder;
  const shown = typeof folder === "string"
    ? (folder.endsWith("/") ? folder : `${folder}/`)
    : "fixtures/golden/";
  const path = `${shown}manifest.json`;
  const text = new TextDecoder().decode(await readBytes(new URL("manifest.json", url), path));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new GoldenError(`read ${path}: not JSON: ${errorLine(error)}`);
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const field = issue.path.join(".") || "the manifest";
    throw new GoldenError(`read ${path}: ${field}: ${issue.message}`);
  }
  const { selection, forward, baselines } = parsed.data;
  if (selection.length + forward.length + baselines.length === 0) {
    throw new GoldenError(`read ${path}: the manifest lists no case`);
  }
  for (const entry of [...selection, ...forward]) requireGeometry(entry, path);
  for (const entry of forward) requireShapes(entry, path);
  for (const entry of baselines) requireBaselineShapes(entry, path);
  const golden = new Golden({ folder: url, shown }, { selection, forward, baselines });
  await golden.requireFiles();
  return golden;
}

/** Sizes of a case's layer. */
export function goldenGeometry(
  entry: Pick<SelectionCase, "N" | "L" | "p" | "k">,
): LighthouseGeometry {
  return planGeometry(entry.N, { levels: entry.L, pooling: entry.p, k: entry.k });
}

function requireGeometry(entry: SelectionCase | ForwardCase, path: string): void {
  let geometry;
  try {
    geometry = goldenGeometry(entry);
  } catch (error) {
    throw new GoldenError(`read ${path}: case ${entry.case}: ${errorLine(error)}`);
  }
  if (geometry.gathered !== entry.S) {
    throw new GoldenError(
      `read ${path}: case ${entry.case}: S is ${entry.S}, its options give ${geometry.gathered}`,
    );
  }
}

function requireShapes(entry: ForwardCase, path: string): void {
  const { H, S, N, D, files } = entry;
  for (const [name, want] of [["idx", [H, S]], ["out", [H, N, D]]] as const) {
    const have = files[name].shape;
    if (have.join() !== want.join()) {
      throw new GoldenError(
        `read ${path}: case ${entry.case}: shape of ${name} is [${have.join(", ")}], ` +
          `its options give [${want.join(", ")}]`,
      );
    }
  }
}

/** Rows of the context that an array holds. */
export function goldenRows({ shape, rows }: GoldenArray, context: number): number[] {
  const { first, step } = rows ?? { first: 0, step: 1 };
  const count = rows ? shape[1] : context;
  return Array.from({ length: count }, (_, i) => first + i * step);
}

/** Files of a baseline that all methods have, and which heads and columns they have. */
const BASELINE_ARRAYS = [["out", "H"], ["dq", "H"], ["dk", "kvHeads"], ["dv", "kvHeads"]] as const;

function requireBaselineShapes(entry: BaselineCase, path: string): void {
  const fail = (reason: string) => {
    throw new GoldenError(`read ${path}: case ${entry.case}: ${reason}`);
  };
  for (const [name, heads] of BASELINE_ARRAYS) {
    const array = entry.files[name];
    if (!array) return fail(`there is no ${name}`);
    const held = goldenRows(array, entry.N);
    const want = [entry[heads], held.length, entry.D];
    if (array.shape.join() !== want.join()) {
      fail(
        `shape of ${name} is [${array.shape.join(", ")}], its options give [${want.join(", ")}]`,
      );
    }
    if (held.at(-1)! >= entry.N) fail(`${name} holds row ${held.at(-1)} of ${entry.N}`);
    if (held.join() !== goldenRows(entry.files.out, entry.N).join()) {
      fail(`${name} holds other rows than out`);
    }
  }
}

function folderUrl(path: string): URL {
  const absolute = path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
  const escaped = absolute.split("/").map(encodeURIComponent).join("/");
  return new URL(`file://${escaped.endsWith("/") ? escaped : `${escaped}/`}`);
}

async function readBytes(url: URL, shown: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await (url.protocol === "file:" ? Deno.readFile(url) : download(url));
  } catch (error) {
    throw new GoldenError(`read ${shown}: ${fileFailure(error)}`);
  }
}

/** If the package comes from a registry, so do its vectors. */
async function download(url: URL, init?: RequestInit): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(url, init);
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`the server answered ${response.status}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

function fileFailure(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  if (error instanceof Deno.errors.NotADirectory) return "a part of the path is a file";
  if (error instanceof Deno.errors.IsADirectory) return "a folder, not a file";
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return "no permission to read it";
  }
  return errorLine(error);
}
