/**
 * The meaning of the letters and names in a report.
 *
 * @module
 */
import type { ComponentChildren, JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import { LEAST_FOR_INTERVAL } from "../data/spread.ts";

/** A letter or a name, and its meaning. */
type Entry = readonly [term: ComponentChildren, meaning: ComponentChildren];

const LETTERS: readonly Entry[] = [
  ["N", "context: tokens that one layer sees. 8K is 8,192 of them, 1M is 1,048,576"],
  ["H", "attention heads"],
  ["d", "dimension of a head"],
  ["L", "levels of the pyramid that Lighthouse pools Q, K and V into; level 0 are the tokens"],
  ["p", "pooling factor: an entry of a level is the mean of p of the level below"],
  [
    "k",
    "selection budget of a head, a multiple of 128: entries of each level above the tokens whose " +
    "p children are gathered too",
  ],
  [
    "S",
    <>
      rows that attention runs on after selection: N/p<sup>L−1</sup> + (L − 1)·p·k
    </>,
  ],
  [
    "N/64",
    "the paper’s rule for k. The minimum k of a layer is 128, so k is 128 wherever N/64 is less",
  ],
  ["δ", "residue classes of positions that the dilated and the gla scorer work in"],
  ["W", "shards of a context that is cut for context parallelism"],
  [
    "n",
    `samples behind a number; of a ratio, those of the side with fewer. Below ${LEAST_FOR_INTERVAL} ` +
    "they carry no 95 % interval, and the range from the least to the greatest stands in its place",
  ],
];

const NAMES: readonly Entry[] = [
  [
    "SDPA",
    "scaled dot-product attention, PyTorch’s name for dense attention; the paper ran cuDNN’s",
  ],
  ["dense", "this suite’s own kernel for dense causal attention"],
  ["norm, dilated, gla", "scorers: what ranks the entries of the pyramid"],
  ["forward and backward", "both passes of one layer, as training runs them"],
  ["training step", "a model’s forward pass, loss, backward pass and update of all weights"],
  [
    "recompute",
    "in training: none keeps what the backward pass reads, light and least compute some of it again",
  ],
  ["peer", "an external implementation, timed in the same rounds on the same device"],
  ["matrix units", "tensor cores; Dawn reaches them, Deno’s own WebGPU does not"],
  ["FMA", "fused multiply-add, the arithmetic outside of matrix units"],
  ["stack", "the WebGPU implementation that ran the kernels: Deno’s own, or Dawn"],
  ["median", "the middle sample: every time here is one, with a bootstrap interval around it"],
];

/** A list that opens with one click. */
export function Glossary({ result }: { result?: Result }): JSX.Element {
  // Options of implementations other than Lighthouse add their own letters.
  const known = new Set(LETTERS.map(([term]) => term));
  const further = new Map<string, string>();
  for (const { options } of result?.implementations ?? []) {
    for (const { letter, help } of options) if (!known.has(letter)) further.set(letter, help);
  }
  return (
    <details class="glossary">
      <summary>What the letters mean</summary>
      <dl class="pairs">
        {[...LETTERS, ...further, ...NAMES].map(([term, meaning]) => (
          <>
            <dt>{term}</dt>
            <dd>{meaning}</dd>
          </>
        ))}
      </dl>
    </details>
  );
}
