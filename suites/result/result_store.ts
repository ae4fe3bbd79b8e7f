/**
 * The result file of a run in progress: replaced as a whole after every finished case, so that
 * whatever kills the run leaves a valid file behind.
 *
 * @module
 */
import { NotComparableError, UsageError } from "../errors.ts";
import { readResult, ResultFileError } from "./read_result.ts";
import { type Result, resultSchema } from "./result_schema.ts";
import { claimFolder, type FolderClaim, replaceFile } from "./write_output.ts";

/** Name of the result file in the output folder. */
export const RESULT_FILE = "result.json";

/** Writes results into a folder that nobody else writes to meanwhile. */
export class ResultStore {
  readonly #folder: string;
  /** Undefined where the caller has claimed the folder. */
  readonly #own: FolderClaim | undefined;

  private constructor(folder: string, own: FolderClaim | undefined) {
    this.#folder = folder;
    this.#own = own;
  }

  /**
   * Claims the folder, which is made if need be.
   *
   * @param options.claimed The caller's claim on it, which the caller gives up as well.
   * @param options.check As of {@linkcode claimFolder}.
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

  /** Gives the folder up. */
  async close(): Promise<void> {
    await this.#own?.release();
  }

  /** Path of the result file. */
  get path(): string {
    return `${this.#folder}/${RESULT_FILE}`;
  }

  /**
   * Replaces the result file, all or nothing.
   *
   * @throws {OutputError} when the disk is full or the folder went away; the old file stays.
   */
  async save(result: Result): Promise<void> {
    await replaceFile(this.path, `${JSON.stringify(resultSchema.parse(result), null, 1)}\n`);
  }

  /**
   * The partial result of an earlier run in this folder.
   *
   * @throws {UsageError} when there is none or it is no result file.
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
   * @throws {UsageError} when there is none or it is no result file.
   */
  async recordedStack(): Promise<Result["stack"]> {
    return (await readPartial(this.path)).stack;
  }
}

/**
 * The result of an earlier run.
 *
 * @throws {UsageError} one line, when there is none or it is no result file.
 */
export async function readPartial(path: string): Promise<Result> {
  try {
    return await readResult(path);
  } catch (error) {
    if (!(error instanceof ResultFileError)) throw error;
    throw new UsageError(`resume ${path}: ${error.reason}`);
  }
}
