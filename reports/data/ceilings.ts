/**
 * How far work is from the ceilings that the same run measured.
 *
 * @module
 */
import type {
  CalibrationRecord,
  CaseRecord,
  Result,
  Statistic,
} from "../../suites/result/result_schema.ts";
import { movesData, stageSeconds } from "./cases.ts";
import { largest } from "./extremes.ts";

/** Ceilings in FLOP/s and bytes/s; null if the run did not measure one. */
export interface Ceilings {
  fmaF32: number | null;
  fmaF16: number | null;
  /** Best subgroup-matrix configuration. */
  matrix: number | null;
  copy: number | null;
}

/** The share of the ceilings that a piece of work reached. */
export interface Achieved {
  flopsPerSecond: number;
  bytesPerSecond: number;
  /** FLOP per byte that must move. */
  intensity: number;
  ofFmaF32: number | null;
  ofMatrix: number | null;
  ofCopy: number | null;
  /** Fraction of min(highest compute ceiling, intensity · copy): the roofline. */
  ofRoof: number | null;
  bound: "compute" | "memory" | null;
}

/** A data-moving stage compared with the time of copying its minimum bytes. */
export interface CopyFloor {
  stage: string;
  seconds: number;
  floorSeconds: number;
  /** seconds / floorSeconds: 1 is as fast as a copy. */
  multiple: number;
}

/** Whether a case ran on matrix units, as its stages recorded; null if none recorded it. */
export function usesMatrixUnits({ stages }: Pick<CaseRecord, "stages">): boolean | null {
  const variants = stages.flatMap(({ variant }) => variant === undefined ? [] : [variant]);
  return variants.length === 0 ? null : variants.some((variant) => /^matrix units/.test(variant));
}

/** Medians of the calibration, null for parts that were not measured. */
export function ceilingsOf(calibration: CalibrationRecord | null): Ceilings {
  const matrix = (calibration?.matrix ?? []).map(({ flopsPerSecond }) => flopsPerSecond.median);
  return {
    fmaF32: positive(calibration?.fmaF32?.median),
    fmaF16: positive(calibration?.fmaF16?.median),
    matrix: positive(matrix.length === 0 ? undefined : largest(matrix)),
    copy: positive(calibration?.copy?.median),
  };
}

/** The ceiling of the unit that did a case's arithmetic. */
export interface UnitCeiling {
  unit: "matrix units" | "f32 FMA" | "f16 FMA";
  flopsPerSecond: number;
}

/**
 * The ceiling that applies to a case: that of matrix units if its kernels ran on them, else
 * that of multiply-adds. Null if the run did not measure the ceiling of the unit, or if it is
 * unknown which unit ran and the case is faster than every possible ceiling.
 */
export function unitCeilingOf(
  record: CaseRecord & { statistic: Statistic },
  { stack, calibration }: Pick<Result, "stack" | "calibration">,
): UnitCeiling | null {
  const { fmaF32, fmaF16, matrix } = ceilingsOf(calibration);
  const peer = record.implementation.startsWith("peer:");
  const known = usesMatrixUnits(record) ??
    (peer ? null : stack === "deno" ? false : matrix !== null);
  const units: UnitCeiling[] = [];
  const offer = (unit: UnitCeiling["unit"], flopsPerSecond: number | null) => {
    if (flopsPerSecond !== null) units.push({ unit, flopsPerSecond });
  };
  if (known !== true) {
    offer("f32 FMA", fmaF32);
    if (record.shape.dtype === "f16") offer("f16 FMA", fmaF16);
  }
  if (known !== false) offer("matrix units", matrix);
  const rate = record.flops / record.statistic.median;
  // For external kernels only their speed is known: the lowest ceiling above it applies.
  return units.find(({ flopsPerSecond }) => flopsPerSecond >= rate) ??
    (known === null ? null : units.at(-1) ?? null);
}

/** The share of the ceilings that a case reached, with its own unit's as the roof. */
export function achievedBy(
  record: CaseRecord & { statistic: Statistic },
  result: Pick<Result, "stack" | "calibration">,
): Achieved & { unit: UnitCeiling["unit"] | null; ofUnit: number | null } {
  const ceiling = unitCeilingOf(record, result);
  const { flops, bytes, statistic: { median } } = record;
  const achieved = achievedOf(
    { flops, bytes, seconds: median },
    ceilingsOf(result.calibration),
    ceiling?.flopsPerSecond ?? 0,
  );
  return {
    ...achieved,
    unit: ceiling?.unit ?? null,
    ofUnit: ceiling === null ? null : achieved.flopsPerSecond / ceiling.flopsPerSecond,
  };
}

/** The share of the ceilings that `work` (FLOP, bytes, seconds) reached; `compute` is the roof, FLOP/s. */
export function achievedOf(
  work: { flops: number; bytes: number; seconds: number },
  ceilings: Ceilings,
  compute = Math.max(ceilings.fmaF32 ?? 0, ceilings.fmaF16 ?? 0, ceilings.matrix ?? 0),
): Achieved {
  const flopsPerSecond = work.flops / work.seconds;
  const bytesPerSecond = work.bytes / work.seconds;
  const intensity = work.flops / work.bytes;
  const { copy } = ceilings;
  const known = compute > 0 && copy !== null && work.flops > 0 && work.bytes > 0;
  const memoryRoof = intensity * (copy ?? 0);
  return {
    flopsPerSecond,
    bytesPerSecond,
    intensity,
    ofFmaF32: ceilings.fmaF32 === null ? null : flopsPerSecond / ceilings.fmaF32,
    ofMatrix: ceilings.matrix === null ? null : flopsPerSecond / ceilings.matrix,
    ofCopy: copy === null ? null : bytesPerSecond / copy,
    ofRoof: known ? flopsPerSecond / Math.min(compute, memoryRoof) : null,
    bound: known ? (memoryRoof < compute ? "memory" : "compute") : null,
  };
}

/**
 * The data-moving stages of a Lighthouse case compared with a copy of their minimum bytes, and their sum
 * under the name `all`. Empty if bytes, samples or the ceiling are missing.
 */
export function copyFloors(record: CaseRecord, copyBytesPerSecond: number | null): CopyFloor[] {
  if (copyBytesPerSecond === null || record.family !== "lighthouse") return [];
  const floors: CopyFloor[] = [];
  let seconds = 0;
  let floorSeconds = 0;
  for (const stage of record.stages.filter(movesData)) {
    const measured = stageSeconds(stage);
    if (measured === null) return [];
    const floor = stage.bytes / copyBytesPerSecond;
    seconds += measured;
    floorSeconds += floor;
    // Selection must move so few bytes that its own multiple says nothing about bandwidth.
    if (floor > 0) {
      floors.push({
        stage: stage.name,
        seconds: measured,
        floorSeconds: floor,
        multiple: measured / floor,
      });
    }
  }
  if (floorSeconds > 0) {
    floors.push({ stage: "all", seconds, floorSeconds, multiple: seconds / floorSeconds });
  }
  return floors;
}

function positive(value: number | undefined): number | null {
  return value !== undefined && value > 0 ? value : null;
}
