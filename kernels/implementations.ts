/**
 * Every implementation. To add one, add a folder with its kernel and descriptor, and one line here;
 * its flags, cases, checks, labels and colours are derived.
 *
 * @module
 */
import { dense } from "./dense_attention/dense_layer.ts";
import { denseNaive } from "./dense_attention/naive/dense_attention_naive.ts";
import type { Implementation } from "./implementation.ts";
import { LIGHTHOUSE } from "./lighthouse/lighthouse_attention.ts";
import { bigBird } from "./sparse_attention/bigbird/bigbird.ts";
import { dsa } from "./sparse_attention/dsa/dsa.ts";
import { hisa } from "./sparse_attention/hisa/hisa.ts";
import { moba } from "./sparse_attention/moba/moba.ts";
import { nsa } from "./sparse_attention/nsa/nsa.ts";
import { slidingWindow } from "./sparse_attention/sliding_window/sliding_window.ts";

/** All implementations, the baseline of every ratio first. */
export const IMPLEMENTATIONS: readonly Implementation[] = [
  dense,
  denseNaive,
  ...LIGHTHOUSE,
  slidingWindow,
  bigBird,
  moba,
  nsa,
  dsa,
  hisa,
];
