/**
 * The result file of a run in progress: replaced as a whole after every finished case, so that
 * a valid file remains whatever ends the run.
 *
 * @module
 */
import { NotComparableError, UsageError } from "../errors.ts";
import { readResult, ResultFileError } from "./read_result.ts";
import { type Result, resultSchema } from "./result_schema.ts";
import { claimFolder, type FolderClaim, replaceFile } from "./write_output.ts";

/** Name of the result file in the output folder. */
export const RESULT_FILE = "result.json";

/** Writes results into a folder that no other process writes to meanwhile. */
export class ResultStore {
  readonly #folder: string;
  /** Undefined if the caller has claimed the folder. */
  readonly #own: FolderClaim | undefined;

  private constructor(folder: string, own: FolderClaim | undefined) {
    this.#folder = folder;
    this.#own = own;
  }

  /**
   * Claims the folder, and creates it if necessary.
   *
   * @param options.claimed The caller's claim on it, which the caller also releases.
   * @param options.check See {@linkcode claimFolder}.
   * @throws {OutputError} when it cannot be written to, or another process has it.
   */
  static async open(
    folder: string,
    { claimed, check }: { claimed?: FolderClaim; check?: () => Promise<void> } = {},
  ): Promise<ResultStore> {
    if (claimed === undefined) return new ResultStore(folder, await claimFolder(folder, { check }));
    await check?.();
    return new ResultStore(folder, undefined);
  }

  /** Releases the folder. */
  async close(): Promise<void> {
    await this.#own?.release();
  }

  /** Path of the result file. */
  get path(): string {
    return `${this.#folder}/${RESULT_FILE}`;
  }

  /**
   * Replaces the result file atomically.
   *
   * @throws {OutputError} when the disk is full or the folder is gone; the old file is kept.
   */
  async save(result: Result): Promise<void> {
    await replaceFile(this.path, `${JSON.stringify(resultSchema.parse(result), null, 1)}\n`);
  }

  /**
   * The partial result of an earlier run in this folder.
   *
   * @throws {UsageError} when there is none or it is not a result file.
   * @throws {NotComparableError} when it belongs to another plan, machine, stack or code.
   */
  async resume(expected: {
    plan: string;
    wgsl: string;
    fingerprint: string;
    seed: number;
    tuning?: string;
  }): Promise<Result> {
    const result = await readPartial(this.path);
    const differs = [
      ["plan", result.hashes.plan, expected.plan],
      ["shader code", result.hashes.wgsl, expected.wgsl],
      ["machine", result.environment.fingerprint, expected.fingerprint],
      ["seed", result.seed, expected.seed],
      ["tuning", result.tuning?.digest, expected.tuning],
    ].filter(([, have, want]) => have !== want).map(([name]) => name);
    if (differs.length > 0) {
      throw new NotComparableError(
        `resume ${this.path}: it was measured with another ${differs.join(", ")}`,
      );
    }
    return result;
  }

  /**
   * The stack of the partial result in this folder.
   *
   * @throws {UsageError} when there is none or it is not a result file.
   */
  async recordedStack(): Promise<Result["stack"]> {
    return (await readPartial(this.path)).stack;
  }
}

/**
 * The result of an earlier run.
 *
 * @throws {UsageError} one line, when there is none or it is not a result file.
 */
export async function readPartial(path: string): Promise<Result> {
  try {
    return await readResult(path);
  } catch (error) {
    if (!(error instanceof ResultFileError)) throw error;
    throw new UsageError(`resume ${path}: ${error.reason}`);
  }
}
