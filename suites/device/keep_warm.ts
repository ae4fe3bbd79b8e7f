/**
 * Keeps a device's clock up during a run, by methods that change no setting: an idle CUDA context,
 * `nvidia-smi` reading the clock and the power once a second, and, if there is no such context, a
 * little work in the queue while the host works. METHOD.md explains why.
 *
 * @module
 */
import { median } from "simple-statistics";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { errorLine } from "../errors.ts";
import { runTool } from "./run_tool.ts";
import { startProcess } from "./start_process.ts";
import type { KeepWarmRecord } from "../result/result_schema.ts";
import { type CudaContext, holdCudaContext } from "./cuda_context.ts";
import { cardOf, isNvidia, listNvidiaCards, type NvidiaCard } from "./nvidia.ts";

/** Milliseconds between two readings. */
const POLL_MILLISECONDS = 1000;

/**
 * Share of its power limit from which a reading counts as at the limit: the device lowers its
 * clock to stay there, and the reading is a mean over a part of a second.
 */
const AT_LIMIT = 0.95;

/**
 * Seconds that a power reading covers: `power.draw` is a mean over the last second on cards
 * since Ampere.
 */
const POWER_SECONDS = 1;

/** What a device reported while something ran; empty if nothing was read in that time. */
export interface DeviceReading {
  /** Median clock of the multiprocessors, MHz. */
  readonly clockMHz?: number;
  /**
   * Median power, W, of readings that cover only this time: at one moment, or of a whole second in
   * it.
   */
  readonly powerWatts?: number;
  /** True where that power is at the device's limit, at which it may lower its clock. */
  readonly atPowerLimit?: true;
}

/** A running keep-warm. */
export interface KeepWarm {
  /** What was done so far, for the result. */
  readonly record: () => KeepWarmRecord;
  /**
   * Notes for people, one line each: what was and was not done; by default only why there is no
   * context.
   */
  readonly lines: readonly string[];
  /**
   * Readings of the device between two moments of `performance.now()`, in seconds.
   */
  readonly during: (from: number, to: number) => DeviceReading;
  /** Stops everything. */
  readonly stop: () => Promise<void>;
}

/** Options of {@linkcode startKeepWarm}. */
export interface KeepWarmOptions {
  /** True: on any device. False: never. Default: on NVIDIA devices, where it is known to help. */
  readonly asked?: boolean;
  /** Which methods to use; for experiments. Default: all. */
  readonly means?: readonly ("context" | "poll")[];
  /** Creates a context; for tests. */
  readonly hold?: typeof holdCudaContext;
  /** The program that is run; for tests. */
  readonly smi?: string;
}

/**
 * Starts everything that can be started. Nothing is fatal: failures become lines of the record.
 *
 * @param adapter whose device is meant, to choose among several.
 * @returns undefined if nothing has to be done.
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
      poll = startPoll(smi, card, { instant: await tellsInstant(smi, card) });
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

/** The power at one moment, where the driver tells it: not the mean of a second. */
const INSTANT = "power.draw.instant";

/** Whether a card tells its power at one moment; older drivers refuse a query that asks for it. */
async function tellsInstant(program: string, { uuid }: NvidiaCard): Promise<boolean> {
  const told = await runTool(program, [
    `--query-gpu=${INSTANT}`,
    "--format=csv,noheader,nounits",
    `--id=${uuid}`,
  ]);
  return Number(told) > 0;
}

/** Reads the clock and the power of a card repeatedly. */
function startPoll(program: string, card: NvidiaCard, { instant }: { instant: boolean }): Poll {
  const clock: Readings = { values: [], times: [], limit: null };
  const power: Readings = { values: [], times: [], limit: null };
  const moments: Readings = { values: [], times: [], limit: null };
  const child = startProcess(program, [
    `--query-gpu=clocks.sm,clocks.max.sm,power.draw,enforced.power.limit${
      instant ? `,${INSTANT}` : ""
    }`,
    "--format=csv,noheader,nounits",
    `--loop-ms=${POLL_MILLISECONDS}`,
    `--id=${card.uuid}`,
  ]);
  const readers = [
    eachLine(child.stdout, (line) => {
      const [now, mostClock, watts, mostPower, moment] = line.split(",").map((x) => x.trim());
      take(clock, now, mostClock);
      take(power, watts, mostPower);
      take(moments, moment);
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
          atLimit: power.values.filter((watts) => isAtLimit(watts, power)).length,
        },
      },
    }),
    during: (from, to) => {
      const clockMHz = between(clock, from, to);
      // A mean of the last second belongs to work of more than a second only.
      const powerWatts = between(moments, from, to) ?? between(power, from + POWER_SECONDS, to);
      return {
        ...clockMHz !== undefined && { clockMHz },
        ...powerWatts !== undefined && { powerWatts },
        ...powerWatts !== undefined && isAtLimit(powerWatts, power) && { atPowerLimit: true },
      };
    },
    stop: async () => {
      await child.stdin.close().catch(() => {});
      try {
        child.kill("SIGTERM");
      } catch {
        // It had already ended.
      }
      await child.status;
      await Promise.all(readers.map((reader) => reader.catch(() => {})));
    },
  };
}

/** What can be done about a clock that was low in a run, or why it was. */
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

/** The readings of one device, and its limits. */
interface Readings {
  readonly values: number[];
  /** Time of each reading, seconds. */
  readonly times: number[];
  limit: number | null;
}

/** Reads a cell of `nvidia-smi`, which is `[N/A]` for what a device does not report. */
function take(own: Readings, value = "", limit = "") {
  if (!(Number(value) > 0)) return;
  own.values.push(Number(value));
  own.times.push(performance.now() / 1e3);
  if (Number(limit) > 0) own.limit = Number(limit);
}

/** Median of the readings between two moments; undefined if there are none. */
function between({ values, times }: Readings, from: number, to: number): number | undefined {
  const inside: number[] = [];
  // The requested moments are the latest ones.
  for (let i = times.length - 1; i >= 0 && times[i] >= from; i--) {
    if (times[i] <= to) inside.push(values[i]);
  }
  return inside.length === 0 ? undefined : median(inside);
}

/** Whether a power is at its limit, where the device tells one. */
function isAtLimit(watts: number, { limit }: Readings): boolean {
  return limit !== null && watts >= AT_LIMIT * limit;
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
