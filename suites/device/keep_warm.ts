/**
 * Keeping a device's clock up while a run goes on, by means that change no setting: a CUDA context
 * that does nothing, `nvidia-smi` asking for the clock and the power once a second, and, where there
 * is no such context, a little work in the queue while the host works. METHOD.md says why.
 *
 * @module
 */
import { median } from "simple-statistics";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { errorLine } from "../errors.ts";
import { startProcess } from "./start_process.ts";
import type { KeepWarmRecord } from "../result/result_schema.ts";
import { type CudaContext, holdCudaContext } from "./cuda_context.ts";
import { cardOf, isNvidia, listNvidiaCards, type NvidiaCard } from "./nvidia.ts";

/** Milliseconds between two questions. */
const POLL_MILLISECONDS = 1000;

/**
 * Of its power limit, what a device must draw for a reading to count as at the limit: it lowers its
 * clock to stay there, and the reading is a mean over a part of a second.
 */
const AT_LIMIT = 0.95;

/**
 * Seconds that a reading of the power looks back: `power.draw` is a mean over the last second on cards
 * since Ampere.
 */
const POWER_SECONDS = 1;

/** What a device told while something ran; empty where nothing was read in that time. */
export interface DeviceReading {
  /** Median clock of the multiprocessors, MHz. */
  readonly clockMHz?: number;
  /** Median power, W, by readings that look back on this time alone. */
  readonly powerWatts?: number;
}

/** What goes on beside a run. */
export interface KeepWarm {
  /** What was done so far, for the result. */
  readonly record: () => KeepWarmRecord;
  /** One line each for a person: all that was done and was not; unasked, why there is no context. */
  readonly lines: readonly string[];
  /**
   * What was read of the device between two moments, as `performance.now()` tells them in seconds.
   */
  readonly during: (from: number, to: number) => DeviceReading;
  /** Ends all of it. */
  readonly stop: () => Promise<void>;
}

/** Options of {@linkcode startKeepWarm}. */
export interface KeepWarmOptions {
  /** True: whatever the device is. False: never. Default: on NVIDIA's, where it is known to help. */
  readonly asked?: boolean;
  /** Which of the means to use; for experiments. Default: all. */
  readonly means?: readonly ("context" | "poll")[];
  /** Makes a context; for tests. */
  readonly hold?: typeof holdCudaContext;
  /** The program that is asked; for tests. */
  readonly smi?: string;
}

/**
 * Starts what can be started. Nothing is fatal: what could not be done is a line of the record.
 *
 * @param adapter whose device it is, to choose among several.
 * @returns undefined where nothing has to be done.
 */
export async function startKeepWarm(
  adapter: Gpu["adapter"],
  options: KeepWarmOptions = {},
): Promise<KeepWarm | undefined> {
  const { asked, means = ["context", "poll"], hold = holdCudaContext, smi = "nvidia-smi" } =
    options;
  if (asked === false || asked === undefined && (adapter.software || !isNvidia(adapter))) {
    return undefined;
  }
  if (adapter.software) {
    return idle("nothing was done: a software adapter has no clock of its own");
  }
  const card = cardOf(adapter, await listNvidiaCards(smi));
  const done: string[] = [];
  const failures: string[] = [];
  let context: CudaContext | undefined;
  if (means.includes("context")) {
    try {
      context = await hold({ adapter, busId: card?.busId });
      done.push(`an idle CUDA context on ${context.card}`);
    } catch (error) {
      failures.push(`no CUDA context: ${errorLine(error)}`);
    }
  }
  let poll: Poll | undefined;
  if (means.includes("poll")) {
    try {
      if (!card) throw new Error(`${smi} is not there, or lists no card of the adapter's name`);
      poll = startPoll(smi, card);
      done.push(`${smi} asked every ${POLL_MILLISECONDS} ms`);
    } catch (error) {
      failures.push(`no poll: ${errorLine(error)}`);
    }
  }
  if (done.length === 0) done.push("nothing was done");
  return {
    record: () => ({ means: [...done, ...failures], ...poll?.readings() }),
    lines: (asked ? [...done, ...failures] : context ? [] : failures)
      .map((line) => `keep warm: ${line}`),
    during: (from, to) => poll?.during(from, to) ?? {},
    stop: async () => {
      await Promise.all([context?.release(), poll?.stop()]);
    },
  };
}

function idle(line: string): KeepWarm {
  return {
    record: () => ({ means: [line] }),
    lines: [`keep warm: ${line}`],
    during: () => ({}),
    stop: () => Promise.resolve(),
  };
}

interface Poll {
  readonly readings: () => Pick<KeepWarmRecord, "clockMHz" | "powerWatts">;
  readonly during: KeepWarm["during"];
  readonly stop: () => Promise<void>;
}

/** Asks for the clock and the power of a card again and again. */
function startPoll(program: string, card: NvidiaCard): Poll {
  const clock: Readings = { values: [], times: [], limit: null };
  const power: Readings = { values: [], times: [], limit: null };
  const child = startProcess(program, [
    "--query-gpu=clocks.sm,clocks.max.sm,power.draw,enforced.power.limit",
    "--format=csv,noheader,nounits",
    `--loop-ms=${POLL_MILLISECONDS}`,
    `--id=${card.uuid}`,
  ]);
  const readers = [
    eachLine(child.stdout, (line) => {
      const [now, mostClock, watts, mostPower] = line.split(",").map((x) => x.trim());
      take(clock, now, mostClock);
      take(power, watts, mostPower);
    }),
    child.stderr.cancel(),
  ];
  return {
    readings: () => ({
      ...clock.values.length > 0 && {
        clockMHz: { lowest: Math.min(...clock.values), ...summary(clock) },
      },
      ...power.values.length > 0 && {
        powerWatts: {
          ...summary(power),
          atLimit: power.limit === null
            ? 0
            : power.values.filter((watts) => watts >= AT_LIMIT * power.limit!).length,
        },
      },
    }),
    during: (from, to) => {
      const clockMHz = between(clock, from, to);
      const powerWatts = between(power, from + POWER_SECONDS, to);
      return {
        ...clockMHz !== undefined && { clockMHz },
        ...powerWatts !== undefined && { powerWatts },
      };
    },
    stop: async () => {
      await child.stdin.close().catch(() => {});
      try {
        child.kill("SIGTERM");
      } catch {
        // It had ended.
      }
      await child.status;
      await Promise.all(readers.map((reader) => reader.catch(() => {})));
    },
  };
}

/** What may be done about a clock that was down in a run, or why it was. */
export function clockAdvice(warm: KeepWarmRecord | undefined, asked?: boolean): string {
  if (asked === false) return "the clock is kept up without --no-keep-warm";
  if (warm === undefined) return "--keep-warm may help";
  const { powerWatts, means } = warm;
  if (powerWatts && powerWatts.atLimit > 0) {
    return `the device was within 5 % of its power limit of ${powerWatts.limit} W in ` +
      `${powerWatts.atLimit} of ${powerWatts.count} readings, and lowers its clock there`;
  }
  const missing = means.find((line) => line.startsWith("no CUDA context"));
  return missing === undefined
    ? "keeping the clock up did not help"
    : `the clock could not be kept up well: ${missing}`;
}

/** What was read of one device, and the highest that it may be. */
interface Readings {
  readonly values: number[];
  /** When each was read, seconds. */
  readonly times: number[];
  limit: number | null;
}

/** Takes a cell of `nvidia-smi`, which says `[N/A]` of what a device does not tell. */
function take(own: Readings, value = "", limit = "") {
  if (!(Number(value) > 0)) return;
  own.values.push(Number(value));
  own.times.push(performance.now() / 1e3);
  if (Number(limit) > 0) own.limit = Number(limit);
}

/** Median of what was read between two moments; undefined where nothing was. */
function between({ values, times }: Readings, from: number, to: number): number | undefined {
  const inside: number[] = [];
  // The moments asked for are the latest ones.
  for (let i = times.length - 1; i >= 0 && times[i] >= from; i--) {
    if (times[i] <= to) inside.push(values[i]);
  }
  return inside.length === 0 ? undefined : median(inside);
}

function summary({ values, limit }: Readings) {
  return { count: values.length, median: median(values), highest: Math.max(...values), limit };
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
