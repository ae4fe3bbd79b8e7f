/**
 * What a run in the page covers, and how long it may take.
 *
 * @module
 */
import type { SuiteOptions } from "../suites/run/runner.ts";

/** Name of a mode. */
export type ModeName = "quick" | "standard" | "long" | "needle";

/** One choice of the page. */
export interface Mode {
  readonly name: ModeName;
  readonly title: string;
  /** What it covers, one sentence. */
  readonly covers: string;
  /**
   * Seconds of checks and measurements; calibration and compilation come on top. A software adapter
   * needs longer: it shares the processor with the checks.
   */
  readonly budgetSeconds: { readonly gpu: number; readonly software: number };
  /** Most device memory that it asks for, bytes. */
  readonly memoryBytes: number;
  /** What the suites are asked for, on a software adapter or a GPU. */
  readonly options: (device: { readonly software: boolean }) => SuiteOptions;
}

const GIB = 2 ** 30;

/** All modes, the shortest first. */
export const MODES: readonly Mode[] = [
  {
    name: "quick",
    title: "Quick",
    covers: "Dense attention beside Lighthouse with the norm scorer, forward, at short contexts.",
    budgetSeconds: { gpu: 20, software: 60 },
    memoryBytes: GIB / 2,
    options: ({ software }) => ({
      profile: "smoke",
      // Its cases check their own outputs against float64.
      suites: ["latency"],
      implementations: ["dense", "lighthouse-norm"],
      contexts: software ? [2048] : [4096, 8192, 16_384],
      ...(software ? {} : { heads: [8], headDims: [128] }),
    }),
  },
  {
    name: "standard",
    title: "Standard",
    covers: "Every scorer, forward and backward, as far as two minutes reach.",
    budgetSeconds: { gpu: 120, software: 180 },
    memoryBytes: 4 * GIB,
    options: ({ software }) => ({ profile: software ? "smoke" : "standard" }),
  },
  {
    name: "long",
    title: "Long",
    covers: "The paper's grid, to 512K where the device gets there.",
    budgetSeconds: { gpu: 600, software: 600 },
    memoryBytes: 16 * GIB,
    options: ({ software }) => ({ profile: software ? "smoke" : "paper" }),
  },
  {
    name: "needle",
    title: "Needle",
    covers: "Hides a needle at each depth of a context and shows which scorers still find it.",
    budgetSeconds: { gpu: 40, software: 90 },
    memoryBytes: GIB / 2,
    options: ({ software }) => ({
      profile: "smoke",
      suites: ["retrieval"],
      contexts: software ? [2048] : [2048, 4096, 8192, 16_384],
      settings: {
        retrieval: {
          depths: software ? [0, 50, 100] : [0, 25, 50, 75, 100],
          margins: [6],
          trials: software ? 10 : 64,
        },
      },
    }),
  },
];

/** The mode of that name; the first one for any other text. */
export function modeOf(name: string | null | undefined): Mode {
  return MODES.find((mode) => mode.name === name) ?? MODES[0];
}

/** Seconds that a mode may spend on a device. */
export function budgetOf(mode: Mode, { software }: { readonly software: boolean }): number {
  return mode.budgetSeconds[software ? "software" : "gpu"];
}
