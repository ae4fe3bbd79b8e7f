/**
 * Keeping a device's clock up while a run goes on, by means that change no setting: a CUDA context
 * that does nothing, and `nvidia-smi` asking for the clock and the power once a second. METHOD.md says
 * why.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { median } from "simple-statistics";
import { hasName, type NamedAdapter } from "./adapter_name.ts";
import { errorLine } from "../errors.ts";
import { spawn } from "../peers/python_process.ts";
import type { KeepWarmRecord } from "../result/result_schema.ts";

/** Milliseconds between two questions. */
const POLL_MILLISECONDS = 1000;

/**
 * Of its power limit, what a device must draw for a reading to count as at the limit: it lowers its
 * clock to stay there, and the reading is a mean over a part of a second.
 */
const AT_LIMIT = 0.95;

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
 * @param adapter whose device it is, to choose among several.
 */
export async function startKeepWarm(
  adapter: NamedAdapter,
  { python = "python3", smi = "nvidia-smi" }: KeepWarmOptions = {},
): Promise<KeepWarm> {
  const means: string[] = [];
  const clocks = new Map<string, Readings>();
  const powers = new Map<string, Readings>();
  const children: Deno.ChildProcess[] = [];
  const readers: Promise<void>[] = [];
  const failures: string[] = [];
  try {
    const helper = fileURLToPath(new URL("./keep_warm.py", import.meta.url));
    const child = spawn(python, ["-u", helper, adapter.description, adapter.device]);
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
      "--query-gpu=name,clocks.sm,clocks.max.sm,power.draw,enforced.power.limit",
      "--format=csv,noheader,nounits",
      `--loop-ms=${POLL_MILLISECONDS}`,
    ]);
    children.push(child);
    means.push(`${smi} asked every ${POLL_MILLISECONDS} ms`);
    readers.push(
      eachLine(child.stdout, (line) => {
        const [name, clock, mostClock, power, mostPower] = line.split(",").map((x) => x.trim());
        take(clocks, name, clock, mostClock);
        take(powers, name, power, mostPower);
      }),
      child.stderr.cancel(),
    );
  } catch (error) {
    failures.push(`no poll: ${explain(error, smi)}`);
  }
  const done = means.length > 0 ? means : ["nothing was done"];
  const record = (): KeepWarmRecord => {
    // A stack may call its adapter otherwise; of one device there is no doubt.
    const own = (all: Map<string, Readings>) =>
      ([...all].find(([name]) => hasName(adapter, name)) ?? (all.size === 1 ? [...all][0] : []))[1];
    const [clock, power] = [own(clocks), own(powers)];
    return {
      means: [...done, ...failures],
      ...clock && { clockMHz: { lowest: Math.min(...clock.values), ...summary(clock) } },
      ...power && {
        powerWatts: {
          ...summary(power),
          atLimit: power.limit === null
            ? 0
            : power.values.filter((watts) => watts >= AT_LIMIT * power.limit!).length,
        },
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

/** What may be done about a clock that was down in a run, or why it was. */
export function clockAdvice(warm: KeepWarmRecord | undefined): string {
  if (warm === undefined) return "--keep-warm may help";
  const { powerWatts } = warm;
  return powerWatts && powerWatts.atLimit > 0
    ? `the device was within 5 % of its power limit of ${powerWatts.limit} W in ` +
      `${powerWatts.atLimit} of ${powerWatts.count} readings, and lowers its clock there`
    : "--keep-warm could not help";
}

/** What was read of one device, and the highest that it may be. */
interface Readings {
  readonly values: number[];
  limit: number | null;
}

/** Takes a cell of `nvidia-smi`, which says `[N/A]` of what a device does not tell. */
function take(all: Map<string, Readings>, name: string, value = "", limit = "") {
  if (!(Number(value) > 0)) return;
  const own = all.get(name) ?? { values: [], limit: null };
  all.set(name, own);
  own.values.push(Number(value));
  if (Number(limit) > 0) own.limit = Number(limit);
}

function summary({ values, limit }: Readings) {
  return { count: values.length, median: median(values), highest: Math.max(...values), limit };
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
