/**
 * Golden vectors in the form that this folder's tests read.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { pcgSum4 } from "../gpu/random.ts";
import { type LighthouseGeometry, planGeometry } from "./lighthouse_geometry.ts";

const folder = new URL("../../fixtures/golden/", import.meta.url);

export interface SelectionCase {
  readonly case: string;
  readonly N: number;
  readonly L: number;
  readonly p: number;
  readonly k: number;
  readonly H: number;
  readonly S: number;
  readonly seed: number;
  readonly sha256: string;
  readonly indices?: string;
}

export interface ForwardCase extends Omit<SelectionCase, "sha256" | "indices"> {
  readonly D: number;
  readonly scorer: string;
  readonly idx_sha256: string;
  readonly zero_rows: number;
  readonly files: Readonly<Record<string, { file: string; shape: number[] }>>;
}

export const golden: { selection: SelectionCase[]; forward: ForwardCase[] } = JSON.parse(
  Deno.readTextFileSync(new URL("manifest.json", folder)),
);

export function geometryOf(entry: Pick<SelectionCase, "N" | "L" | "p" | "k">): LighthouseGeometry {
  return planGeometry(entry.N, { levels: entry.L, pooling: entry.p, k: entry.k });
}

function unpacked(file: string): ArrayBuffer {
  return new Uint8Array(gunzipSync(Deno.readFileSync(new URL(file, folder)))).buffer;
}

export function readIndices(file: string): Int32Array {
  return new Int32Array(unpacked(file));
}

export function readFloats(file: string): Float32Array {
  return new Float32Array(unpacked(file));
}

export function sha256(indices: Int32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(indices.buffer, indices.byteOffset, indices.byteLength))
    .digest("hex");
}

/** Scores of a selection case, [H, P] flattened. */
export function selectionScores(seed: number, count: number): Float32Array {
  const scores = new Float32Array(count);
  for (let i = 0; i < count; i++) scores[i] = Math.abs(pcgSum4(seed, i));
  return scores;
}
