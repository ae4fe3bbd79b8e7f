/**
 * The result file of a run in progress: replaced as a whole after every finished case, so that
 * whatever kills the run leaves a valid file behind.
 *
 * @module
 */
import { errorLine, NotComparableError, OutputError, UsageError } from "../errors.ts";
import { type Result, resultSchema, SCHEMA_VERSION } from "./result_schema.ts";

/** Name of the result file in the output folder. */
export const RESULT_FILE = "result.json";

/** Writes results into a folder. */
export class ResultStore {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Creates the folder if need be and proves that a file can be written there.
   *
   * @throws {OutputError} when it cannot.
   */
  static async open(folder: string): Promise<ResultStore> {
    const store = new ResultStore(folder);
    await store.#attempt(async () => {
      await Deno.mkdir(folder, { recursive: true });
      const probe = `${folder}/.${RESULT_FILE}.${Deno.pid}.probe`;
      await Deno.writeTextFile(probe, "{}");
      await Deno.remove(probe);
    });
    return store;
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
    const text = `${JSON.stringify(resultSchema.parse(result), null, 1)}\n`;
    const temporary = `${this.#folder}/.${RESULT_FILE}.${Deno.pid}.tmp`;
    await this.#attempt(async () => {
      try {
        await Deno.writeTextFile(temporary, text);
        await Deno.rename(temporary, this.path);
      } catch (error) {
        await Deno.remove(temporary).catch(() => {});
        throw error;
      }
    });
  }

  /** Writes another file of the run beside the result. */
  async saveText(name: string, text: string): Promise<void> {
    await this.#attempt(() => Deno.writeTextFile(`${this.#folder}/${name}`, text));
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
    const result = await this.#read();
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
    return (await this.#read()).stack;
  }

  async #read(): Promise<Result> {
    let text: string;
    try {
      text = await Deno.readTextFile(this.path);
    } catch (error) {
      throw new UsageError(`resume ${this.path}: ${readable(error)}`);
    }
    try {
      const value = JSON.parse(text);
      if (value?.schemaVersion > SCHEMA_VERSION) {
        throw new Error(
          `schema version ${value.schemaVersion} is newer than ${SCHEMA_VERSION}, which this tool knows`,
        );
      }
      return resultSchema.parse(value);
    } catch (error) {
      const zod = error instanceof Error && error.name === "ZodError";
      const reason = zod ? "not a result file of this schema" : errorLine(error);
      throw new UsageError(`resume ${this.path}: ${reason}`);
    }
  }

  async #attempt(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (error instanceof OutputError) throw error;
      throw new OutputError(`write to ${this.#folder}: ${readable(error)}`, { cause: error });
    }
  }
}

/** What an error of the file system means, without its path and code. */
function readable(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file or folder";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotCapable) {
    return "Deno was not given permission for it";
  }
  const text = errorLine(error);
  if (/os error 28|ENOSPC|no space left/i.test(text)) return "no space left on the device";
  if (/os error 30|EROFS|read-only/i.test(text)) return "the file system is read-only";
  if (/os error (17|20)|ENOTDIR|EEXIST|not a directory|file exists/i.test(text)) {
    return "it is not a folder";
  }
  return text;
}
