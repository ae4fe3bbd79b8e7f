/**
 * The format of result files: what each record says, its schemas for a program that validates or
 * describes them, and reading a file of any version. `docs/schema.md` says what may change.
 *
 * @module
 */
export { parseResult, readResult, ResultFileError } from "./read_result.ts";
export { SCHEMA_VERSION } from "./result_schema.ts";
export * from "./schemas.ts";
export type * from "./result.ts";
export type { OpenRecord } from "./open_record.ts";
