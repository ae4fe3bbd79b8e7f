/**
 * Analysis of the numbers of a result: series over context, slopes, speed-ups, the crossover, and how
 * far each case is from the ceilings that the same run measured. Pure functions of the record.
 *
 * @module
 */
export * from "./cases.ts";
export * from "./context_series.ts";
export * from "./speedups.ts";
export * from "./ceilings.ts";
export * from "./spread.ts";
