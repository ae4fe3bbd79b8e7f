/**
 * Checks of the keys that queries of sparse attentions see against golden lists.
 *
 * @module
 */
import type { Prepared } from "../../kernels/implementation.ts";
import type { BaselineCase, Golden } from "../check/golden.ts";
import type { Visible } from "../check/row_spans.ts";
import { sha256 } from "../result/digest.ts";
import { exact, type VerifyCheck } from "./check_line.ts";

/** Lists of key blocks of every block of queries, `[H, M, width]`, against what the rows see. */
export async function checkLists(
  name: string,
  { golden, entry, visibleTo }: {
    readonly golden: Golden;
    readonly entry: BaselineCase;
    readonly visibleTo: (head: number) => Visible;
  },
): Promise<VerifyCheck[]> {
  const { idx } = entry.files;
  const { block } = entry.options;
  const blocks = Math.ceil(entry.N / block);
  if (!idx || idx.shape[1] !== blocks) return [];
  const [heads, , width] = idx.shape;
  const want = await golden.readIndices(idx.file, heads * blocks * width);
  let wrong = 0;
  for (let head = 0; head < heads; head++) {
    const visible = visibleTo(head);
    for (let i = 0; i < blocks; i++) {
      const spans = visible(Math.min(entry.N, (i + 1) * block) - 1);
      const seen = spans.flatMap(({ first, end }) =>
        Array.from({ length: Math.ceil(end / block) - first / block }, (_, n) => first / block + n)
      );
      for (let n = 0; n < width; n++) {
        wrong += Number((seen[n] ?? -1) !== want[(head * blocks + i) * width + n]);
      }
    }
  }
  const count = want.length;
  return [exact(
    `${name} lists`,
    wrong === 0,
    wrong === 0 ? `${count} blocks` : `${wrong} of ${count} entries differ`,
  )];
}

/**
 * Lists that a layer selected for every query, `[heads, rows, width]` or, of all heads,
 * `[rows, width]`, and the blocks that an index kept: to the last entry, and all rows by their
 * digest.
 */
export async function checkSelection(
  name: string,
  { golden, entry, selected, prepared }: {
    readonly golden: Golden;
    readonly entry: BaselineCase;
    readonly selected: Int32Array;
    readonly prepared: Prepared;
  },
): Promise<VerifyCheck[]> {
  const kept = await prepared.outputs.readBlocks?.();
  const checks: VerifyCheck[] = [];
  for (
    const [file, what, lists] of [
      ["blocks", "lists of kept blocks", kept],
      ["idx", "lists", selected],
    ] as const
  ) {
    const array = entry.files[file];
    if (!array || !lists) continue;
    const [count, width] = array.shape.slice(-2);
    const want = await golden.readIndices(
      array.file,
      array.shape.reduce((all, size) => all * size),
    );
    const { first, step } = array.rows ?? { first: 0, step: 1 };
    let wrong = 0;
    for (const [at, listed] of want.entries()) {
      const list = Math.floor(at / width);
      const row = Math.floor(list / count) * entry.N + first + (list % count) * step;
      wrong += Number(lists[row * width + at % width] !== listed);
    }
    const digest = entry[`${file}_sha256`];
    const whole = typeof digest !== "string" ||
      await sha256(lists as Int32Array<ArrayBuffer>) === digest;
    checks.push(exact(
      `${name} ${what}`,
      wrong === 0 && whole,
      wrong > 0
        ? `${wrong} of ${want.length} entries differ`
        : whole
        ? `${lists.length} entries`
        : "entries of rows that the folder does not hold differ",
    ));
  }
  return checks;
}
