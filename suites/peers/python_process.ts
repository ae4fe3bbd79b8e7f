/**
 * A python3 that serves one implementation over its standard input and output: JSON lines, each
 * reply followed by the raw bytes that it announces. `peer_helper.py` is the other end.
 *
 * @module
 */
import { startProcess } from "../device/start_process.ts";
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import { errorLine } from "../errors.ts";
import { UnavailableError } from "../plan/measurable.ts";

/** A peer's own code failed, or its process ended. The message is one line. */
export class PeerError extends Error {
  override readonly name = "PeerError";
}

/**
 * A peer's module cannot be loaded on any machine. The message is one line with the line's number.
 */
export class PeerModuleError extends PeerError {}

/** One reply. */
export interface PeerReply {
  readonly reply: Record<string, unknown>;
  /** Raw bytes that came with it. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** How a process is started. */
export interface PythonProcessOptions {
  /** Arguments after `python3 -u`. */
  readonly args: readonly string[];
  /** Default `python3`. */
  readonly program?: string;
}

/** Lines of stderr that are kept to explain why a process ended. */
const KEPT_LINES = 20;

/** The longest line of a reply, bytes. */
const LONGEST_LINE = 2 ** 20;

/** A running process. Requests are answered one after the other. */
export class PythonProcess {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  readonly #stderr: Promise<void>;
  readonly #lines: string[] = [];
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  #ended?: string;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#reader = child.stdout.getReader();
    this.#stderr = this.#keepStderr();
  }

  /**
   * Starts a process.
   *
   * @throws {UnavailableError} when the program is missing or may not be run.
   */
  static start({ args, program = "python3" }: PythonProcessOptions): PythonProcess {
    try {
      return new PythonProcess(startProcess(program, ["-u", ...args]));
    } catch (error) {
      const missing = error instanceof Deno.errors.NotFound;
      const forbidden = error instanceof Deno.errors.NotCapable;
      const reason = missing
        ? `there is no ${program}`
        : forbidden
        ? `Deno may not run ${program}`
        : errorLine(error);
      throw new UnavailableError(reason, { cause: error });
    }
  }

  /** Why the process can no longer answer; undefined while it can. */
  get ended(): string | undefined {
    return this.#ended;
  }

  /** The last lines that the process wrote to stderr. */
  get stderr(): readonly string[] {
    return this.#lines;
  }

  /**
   * Sends a request and waits for its reply. A process that does not reply in time is ended.
   *
   * @throws {UnavailableError} when the implementation reports that it cannot do this here.
   * @throws {MemoryError} when it runs out of memory.
   * @throws {PeerError} for everything else.
   */
  async request(
    message: Readonly<Record<string, unknown>>,
    options: { seconds: number; signal?: AbortSignal },
  ): Promise<PeerReply> {
    const before = this.#turn;
    const mine = before.catch(() => {}).then(() => this.#exchange(message, options));
    this.#turn = mine;
    return await mine;
  }

  /** Ends the process. */
  async close(): Promise<void> {
    this.#ended ??= "it was closed";
    await this.#input.close().catch(() => {});
    this.#kill();
    await this.#child.status;
    await this.#stderr;
    await this.#reader.cancel().catch(() => {});
  }

  async #exchange(
    message: Readonly<Record<string, unknown>>,
    { seconds, signal }: { seconds: number; signal?: AbortSignal },
  ): Promise<PeerReply> {
    if (this.#ended) throw new PeerError(this.#ended);
    signal?.throwIfAborted();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stop: (() => void) | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new PeerError(`${message.op} took longer than ${seconds} s`)),
        seconds * 1e3,
      );
      stop = () => reject(signal!.reason);
      signal?.addEventListener("abort", stop, { once: true });
    });
    try {
      return await Promise.race([this.#converse(message), late]);
    } catch (error) {
      // The rest of an unfinished reply would be mistaken for the next one.
      if (!(error instanceof UnavailableError || error instanceof MemoryError || isAnswer(error))) {
        this.#ended = errorLine(error);
        this.#kill();
      }
      throw error;
    } finally {
      clearTimeout(timer);
      if (stop) signal?.removeEventListener("abort", stop);
    }
  }

  async #converse(message: Readonly<Record<string, unknown>>): Promise<PeerReply> {
    let reply: Record<string, unknown>;
    let data: Uint8Array<ArrayBuffer>;
    try {
      await this.#input.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`));
      reply = JSON.parse(await this.#readLine());
      data = await this.#readBytes(Number(reply.bytes ?? 0));
    } catch (error) {
      throw await this.#explainEnd(error);
    }
    if (typeof reply.error !== "string") return { reply, data };
    if (reply.kind === "unsupported") throw new UnavailableError(reply.error);
    if (reply.kind === "module") throw new PeerModuleError(reply.error, { cause: ANSWERED });
    if (reply.kind === "memory") throw new MemoryError(reply.error);
    throw new PeerError(reply.error, { cause: ANSWERED });
  }

  async #readLine(): Promise<string> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let length = 0;
    while (true) {
      const chunk = this.#chunks.shift() ?? await this.#nextChunk();
      const end = chunk.indexOf(10);
      parts.push(end < 0 ? chunk : chunk.subarray(0, end));
      length += parts[parts.length - 1].length;
      if (length > LONGEST_LINE) throw new Error(`its answer exceeds ${LONGEST_LINE} bytes`);
      if (end < 0) continue;
      if (end + 1 < chunk.length) this.#chunks.unshift(chunk.subarray(end + 1));
      return new TextDecoder().decode(joined(parts, length));
    }
  }

  async #readBytes(count: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(count);
    let done = 0;
    while (done < count) {
      const chunk = this.#chunks.shift() ?? await this.#nextChunk();
      const taken = chunk.subarray(0, count - done);
      bytes.set(taken, done);
      done += taken.length;
      if (taken.length < chunk.length) this.#chunks.unshift(chunk.subarray(taken.length));
    }
    return bytes;
  }

  async #nextChunk(): Promise<Uint8Array<ArrayBuffer>> {
    const { value, done } = await this.#reader.read();
    if (done) throw new Error("its output ended");
    return value;
  }

  /** A broken pipe says little; the exit code and the last output say more. */
  async #explainEnd(error: unknown): Promise<PeerError> {
    this.#kill();
    const { code, signal } = await this.#child.status;
    await this.#stderr;
    const last = this.#lines.at(-1);
    const how = signal && signal !== "SIGTERM" ? `by ${signal}` : `with exit code ${code}`;
    const text = error instanceof SyntaxError ? "its answer is not JSON" : `it ended ${how}`;
    return new PeerError(last ? `${text}: ${last}` : text, { cause: error });
  }

  async #keepStderr(): Promise<void> {
    const text = this.#child.stderr.pipeThrough(new TextDecoderStream());
    let rest = "";
    for await (const part of text) {
      const lines = (rest + part).split("\n");
      rest = lines.pop()!.slice(-4096);
      this.#lines.push(...lines.map((line) => line.trimEnd()).filter((line) => line !== ""));
      this.#lines.splice(0, this.#lines.length - KEPT_LINES);
    }
    if (rest.trim()) this.#lines.push(rest.trim());
  }

  #kill(): void {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It had already ended.
    }
  }
}

/** Marks an error that the process reported: it keeps serving. */
const ANSWERED = Symbol("answered");

function isAnswer(error: unknown): boolean {
  return error instanceof PeerError && error.cause === ANSWERED;
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0];
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
