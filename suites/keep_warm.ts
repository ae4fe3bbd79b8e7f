/**
 * Keeping a device's clock up while a run goes on, by means that change no setting: a CUDA context
 * that does nothing, and `nvidia-smi` asking for the clock once a second. METHOD.md says why.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { median } from "simple-statistics";
import { errorLine } from "./errors.ts";
import { spawn } from "./peers/python_process.ts";
import type { KeepWarmRecord } from "./result_schema.ts";

/** Milliseconds between two questions. */
const POLL_MILLISECONDS = 1000;

/** Longest wait for the context, seconds. */
const CONTEXT_SECONDS = 20;

/** What goes on beside a run. */
export interface KeepWarm {
  /** What was done so far, for the result. */
  readonly record: () => KeepWarmRecord;
  readonly stop: () => Promise<void>;
}

/** Programs to run; for tests. */
export interface KeepWarmOptions {
  readonly python?: string;
  readonly smi?: string;
}

/**
 * Starts what can be started. Nothing is fatal: what could not be done is a line of the record.
 *
 * @param device name of the adapter, to choose among several devices.
 */
export async function startKeepWarm(
  device: string,
  { python = "python3", smi = "nvidia-smi" }: KeepWarmOptions = {},
): Promise<KeepWarm> {
  const means: string[] = [];
  const clocks = new Map<string, { readings: number[]; limit: number | null }>();
  const children: Deno.ChildProcess[] = [];
  const readers: Promise<void>[] = [];
  const failures: string[] = [];
  try {
    const helper = fileURLToPath(new URL("./keep_warm.py", import.meta.url));
    const child = spawn(python, ["-u", helper, device]);
    children.push(child);
    const { line, rest } = await firstLine(child, CONTEXT_SECONDS);
    readers.push(rest);
    if (line.startsWith("holding ")) means.push(`an idle CUDA context on ${line.slice(8)}`);
    else failures.push(`no CUDA context: ${line || "python3 said nothing"}`);
  } catch (error) {
    failures.push(`no CUDA context: ${explain(error, python)}`);
  }
  try {
    const child = spawn(smi, [
      "--query-gpu=name,clocks.sm,clocks.max.sm",
      "--format=csv,noheader,nounits",
      `--loop-ms=${POLL_MILLISECONDS}`,
    ]);
    children.push(child);
    means.push(`${smi} asked every ${POLL_MILLISECONDS} ms`);
    readers.push(
      eachLine(child.stdout, (line) => {
        const [name, now, most] = line.split(",").map((cell) => cell.trim());
        if (!(Number(now) > 0)) return;
        const clock = clocks.get(name) ?? { readings: [], limit: null };
        clocks.set(name, clock);
        clock.readings.push(Number(now));
        if (Number(most) > 0) clock.limit = Number(most);
      }),
      child.stderr.cancel(),
    );
  } catch (error) {
    failures.push(`no poll: ${explain(error, smi)}`);
  }
  const done = means.length > 0 ? means : ["nothing was done"];
  const record = (): KeepWarmRecord => {
    // A stack may call its adapter otherwise; of one device there is no doubt.
    const [, clock] = [...clocks].find(([name]) => device.includes(name)) ??
      (clocks.size === 1 ? [...clocks][0] : []);
    if (!clock) return { means: [...done, ...failures] };
    const { readings, limit } = clock;
    return {
      means: [...done, ...failures],
      clockMHz: {
        count: readings.length,
        lowest: Math.min(...readings),
        median: median(readings),
        highest: Math.max(...readings),
        limit,
      },
    };
  };
  return {
    record,
    stop: async () => {
      for (const child of children) {
        await child.stdin.close().catch(() => {});
        try {
          child.kill("SIGTERM");
        } catch {
          // It had ended.
        }
        await child.status;
      }
      await Promise.all(readers.map((reader) => reader.catch(() => {})));
    },
  };
}

/** The first line that a helper prints, and the end of reading all that follows. */
async function firstLine(
  child: Deno.ChildProcess,
  seconds: number,
): Promise<{ line: string; rest: Promise<void> }> {
  let said: (line: string) => void;
  const line = new Promise<string>((resolve) => said = resolve);
  const rest = Promise.all([
    eachLine(child.stdout, (text) => said(text)),
    child.stderr.cancel(),
  ]).then(() => said(""));
  const timer = setTimeout(() => said(`no answer in ${seconds} s`), seconds * 1e3);
  try {
    return { line: await line, rest };
  } finally {
    clearTimeout(timer);
  }
}

async function eachLine(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split("\n");
    rest = lines.pop()!;
    lines.forEach(take);
  }
}

function explain(error: unknown, program: string): string {
  if (error instanceof Deno.errors.NotFound) return `there is no ${program}`;
  if (error instanceof Deno.errors.NotCapable) return `Deno may not run ${program}`;
  return errorLine(error);
}
