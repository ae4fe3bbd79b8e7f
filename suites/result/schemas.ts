/**
 * The schemas of result files for programs that use this package: they see {@linkcode Schema} and
 * not the library behind it.
 *
 * @module
 */
import type {
  CalibrationRecord,
  CaseRecord,
  EnvironmentRecord,
  RatioRecord,
  Result,
  RetrievalRecord,
} from "./result.ts";
import * as cases from "./case_schema.ts";
import * as environment from "./environment_schema.ts";
import * as result from "./result_schema.ts";
import { retrievalSchema as retrieval } from "../retrieval/record.ts";

/** Why a value does not match a schema. */
export interface SchemaError {
  /** All issues, as text. */
  readonly message: string;
  /** Each with the path to the field. */
  readonly issues: readonly {
    readonly path: readonly PropertyKey[];
    readonly message: string;
  }[];
}

/** A format that values can be checked against. */
export interface Schema<T> {
  /** The value, typed; throws a {@linkcode SchemaError} if it does not match. */
  parse(value: unknown): T;
  /** The same without throwing. */
  safeParse(value: unknown):
    | { readonly success: true; readonly data: T }
    | { readonly success: false; readonly error: SchemaError };
  /** The format as JSON Schema, draft 2020-12. */
  toJSONSchema(): object;
}

/**
 * A whole result file.
 *
 * @example
 * ```ts
 * import { resultSchema } from "./schemas.ts";
 * import assert from "node:assert/strict";
 * const read = resultSchema.safeParse({ schemaVersion: 1 });
 * assert.ok(!read.success && read.error.issues.some(({ path }) => path[0] === "cases"));
 * assert.ok("$defs" in resultSchema.toJSONSchema());
 * ```
 */
export const resultSchema: Schema<Result> = result.resultSchema;

/** One case of a result. */
export const caseSchema: Schema<CaseRecord> = cases.caseSchema;

/** One ratio of a result. */
export const ratioSchema: Schema<RatioRecord> = cases.ratioSchema;

/** The ceilings of a result's device. */
export const calibrationSchema: Schema<CalibrationRecord> = environment.calibrationSchema;

/** The machine of a result. */
export const environmentSchema: Schema<EnvironmentRecord> = environment.environmentSchema;

/** What the retrieval suite adds to a result. */
export const retrievalSchema: Schema<RetrievalRecord> = retrieval;
