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
   * Seconds from the button to the result, opening the device, calibrating and compiling included. What
   * does not fit is left out, rounds and long contexts first; only the checks and the shortest context
   * are done even if that takes longer.
   */
  readonly seconds: { readonly gpu: number; readonly software: number };
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
    seconds: { gpu: 20, software: 20 },
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
    seconds: { gpu: 120, software: 120 },
    memoryBytes: 4 * GIB,
    options: ({ software }) => ({ profile: software ? "smoke" : "standard" }),
  },
  {
    name: "long",
    title: "Long",
    covers: "The paper's grid, up to 512K tokens where the device gets that far.",
    seconds: { gpu: 600, software: 600 },
    memoryBytes: 16 * GIB,
    options: ({ software }) => ({ profile: software ? "smoke" : "paper" }),
  },
  {
    name: "needle",
    title: "Needle",
    covers: "Hides a needle at each depth of a context and shows which scorers find it.",
    seconds: { gpu: 40, software: 90 },
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

/** Groups of cases that a run measures even if its budget is over: one, so that there is a number. */
export const LEAST_GROUPS = 1;

/** The mode of that name; the first one for any other text. */
export function modeOf(name: string | null | undefined): Mode {
  return MODES.find((mode) => mode.name === name) ?? MODES[0];
}

/**
 * Share of a mode's seconds that its run plans with: the rest is for a case that takes longer than
 * predicted, and for the report.
 */
const BUDGET_SHARE = 0.9;

/** Seconds from the button to the result, as a mode promises them. */
export function secondsOf(mode: Mode, { software }: { readonly software: boolean }): number {
  return mode.seconds[software ? "software" : "gpu"];
}

/** Seconds that the run of a mode may plan with on a device. */
export function budgetOf(mode: Mode, device: { readonly software: boolean }): number {
  return BUDGET_SHARE * secondsOf(mode, device);
}
