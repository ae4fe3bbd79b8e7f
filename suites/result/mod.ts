/**
 * The format of result files: the meaning of each record, its schemas for programs that validate or
 * describe them, and reading a file of any version. `docs/schema.md` says what may change.
 *
 * @module
 */
export { parseResult, readResult, ResultFileError } from "./read_result.ts";
export { SCHEMA_VERSION } from "./result_schema.ts";
export * from "./schemas.ts";
export type * from "./result.ts";
export type { OpenRecord } from "./open_record.ts";
