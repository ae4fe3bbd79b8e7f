/**
 * What keeps a GPU's clock up while nothing is computed? Each method runs in its own process: the
 * device is brought up, left idle for a while, and the canary measures how fast it is then. Prints
 * a table for METHOD.md:
 *
 *     deno run -A suites/device/_clock_experiment.ts [--idle 0.2,1,3,8] [--rounds 2] [--stack auto]
 *         [--only nothing,context+poll]
 *
 * Five methods, about 40 seconds each with the defaults.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { Timer } from "../../kernels/gpu/timing.ts";
import { calibrate, type Canary } from "./calibrate.ts";
import { describeEnvironment } from "./environment.ts";
import { startKeepWarm } from "./keep_warm.ts";
import { cardOf, listNvidiaCards } from "./nvidia.ts";
import { openStack, STACKS } from "./open_stack.ts";
import { runTool } from "./run_tool.ts";
import { provideRuntimeDir } from "./runtime_dir.ts";

/** The methods, and their names in the table. */
const MEANS = {
  nothing: "nothing",
  poll: "`nvidia-smi` once a second",
  context: "idle CUDA context",
  "context+poll": "context and `nvidia-smi`",
  busy: "busy queue: 10 ms of work every 50 ms",
} as const;

type MeansName = keyof typeof MEANS;

/** Seconds of work that bring a device up before each idle time. */
const WORK_SECONDS = 1;

/** Longest recovery time of a device, seconds. */
const RETURN_SECONDS = 5;

/** Share of the fastest rate that counts as recovered. */
const RIGHT = 1 / 1.15;

/** One idle time. */
export interface IdleReading {
  readonly idleSeconds: number;
  /** FLOP/s of the first canary after it. */
  readonly rate: number;
  /** SM clock just after that canary, MHz; null if no tool reports it. */
  readonly clockMHz: number | null;
  /** Seconds of work until the canary was right again; null: not within five seconds. */
  readonly backSeconds: number | null;
}

/** The findings of one process. */
export interface MeansReport {
  readonly means: MeansName;
  readonly device: string;
  /** Parts of it that could not be done. */
  readonly missing: readonly string[];
  /** The fastest canary while the device was busy, FLOP/s. */
  readonly fastest: number;
  readonly readings: readonly IdleReading[];
}

/** Leaves a device idle for each of some times, several times over. */
export async function readIdleTimes(options: {
  canary: Canary;
  idles: readonly number[];
  rounds: number;
  workSeconds?: number;
  /** Waits; for the busy queue it also submits work. */
  wait: (seconds: number) => Promise<unknown>;
  readClock: () => Promise<number | null>;
}): Promise<Pick<MeansReport, "fastest" | "readings">> {
  const { canary, idles, rounds, wait, readClock, workSeconds = WORK_SECONDS } = options;
  const rate = async () => canary.flops! / (await canary.probe() * canary.referenceSeconds);
  const now = () => performance.now() / 1e3;
  let fastest = 0;
  const work = async (until: () => boolean) => {
    do {
      await canary.exercise!();
      fastest = Math.max(fastest, await rate());
    } while (!until());
  };
  const readings: IdleReading[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const idleSeconds of idles) {
      const end = now() + workSeconds;
      await work(() => now() >= end);
      await wait(idleSeconds);
      const found = await rate();
      const clockMHz = await readClock();
      const started = now();
      let last = await rate();
      while (last < RIGHT * fastest && now() - started < RETURN_SECONDS) {
        await canary.exercise!();
        last = await rate();
      }
      const backSeconds = last < RIGHT * fastest ? null : now() - started;
      readings.push({ idleSeconds, rate: found, clockMHz, backSeconds });
    }
  }
  return { fastest, readings };
}

/** The table: how much slower the canary was than the fastest of all, the worst of the rounds. */
export function renderTable(reports: readonly MeansReport[]): string {
  const fastest = Math.max(...reports.map((report) => report.fastest));
  const idles = [...new Set(reports.flatMap(({ readings }) => readings.map((r) => r.idleSeconds)))];
  const longest = Math.max(...idles);
  const rows = reports.map(({ means, missing, readings }) => {
    const after = (seconds: number) => readings.filter((one) => one.idleSeconds === seconds);
    const slower = idles.map((seconds) =>
      (fastest / Math.min(...after(seconds).map(({ rate }) => rate))).toPrecision(3)
    );
    const clocks = after(longest).map(({ clockMHz }) => clockMHz).filter((one) => one !== null);
    const back = after(longest).map(({ backSeconds }) => backSeconds);
    const name = MEANS[means] + (missing.length > 0 ? ` (${missing.join("; ")})` : "");
    return [
      name,
      ...slower,
      clocks.length > 0 ? `${Math.min(...clocks)}` : "–",
      back.includes(null)
        ? `more than ${RETURN_SECONDS} s`
        : `${Math.max(...back.map(Number)).toFixed(2)} s`,
    ];
  });
  const head = [
    "kept up by",
    ...idles.map((seconds) => `canary after ${seconds} s`),
    `SM clock after ${longest} s, MHz`,
    "back after",
  ];
  return [head, head.map((_, i) => i === 0 ? "---" : "--:"), ...rows]
    .map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Runs one method in this process; its report goes to stdout. */
async function measure(
  means: MeansName,
  options: { idles: readonly number[]; rounds: number; stack: typeof STACKS[number] },
): Promise<MeansReport> {
  provideRuntimeDir();
  const { gpu, line } = await openStack({ stack: options.stack });
  const { driver, deviceMemoryBytes } = await describeEnvironment(gpu);
  const card = cardOf(gpu.adapter, await listNvidiaCards());
  const { canary } = await calibrate(gpu, new Timer(gpu), { deviceMemoryBytes });
  const parts = (["context", "poll"] as const).filter((part) => means.split("+").includes(part));
  const warm = parts.length > 0
    ? await startKeepWarm(gpu.adapter, { asked: true, means: parts })
    : undefined;
  const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1e3));
  const wait = async (seconds: number) => {
    if (means !== "busy") return await sleep(seconds);
    const end = performance.now() + seconds * 1e3;
    while (performance.now() < end) {
      await canary.exercise!();
      await sleep(0.05);
    }
  };
  const readClock = async () => {
    if (!card) return null;
    const text = await runTool("nvidia-smi", [
      "--query-gpu=clocks.sm",
      "--format=csv,noheader,nounits",
      `--id=${card.uuid}`,
    ]);
    return Number(text) > 0 ? Number(text) : null;
  };
  const { idles, rounds } = options;
  const found = await readIdleTimes({ canary, idles, rounds, wait, readClock });
  const missing = warm?.record().means.filter((line) => /^no |^nothing/.test(line)) ?? [];
  await warm?.stop();
  const name = card?.name ?? (gpu.adapter.description || gpu.adapter.device);
  return {
    means,
    device: `${name}, ${driver}, ${line ?? `stack ${gpu.stack}`}`,
    missing,
    ...found,
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      idle: { type: "string", default: "0.2,1,3,8" },
      rounds: { type: "string", default: "2" },
      stack: { type: "string", default: "auto" },
      only: { type: "string", default: Object.keys(MEANS).join() },
      here: { type: "boolean", default: false },
    },
  });
  const idles = values.idle.split(",").map(Number);
  const rounds = Number(values.rounds);
  const names = values.only.split(",") as MeansName[];
  const stack = STACKS.find((name) => name === values.stack);
  const unknown = names.find((name) => !(name in MEANS));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: not one of ${Object.keys(MEANS)}`);
  if (stack === undefined) throw new Error(`--stack ${values.stack}: not one of ${STACKS}`);
  if (!idles.every((seconds) => seconds > 0)) throw new Error(`--idle ${values.idle}: no seconds`);
  if (!(rounds > 0)) throw new Error(`--rounds ${values.rounds}: not above 0`);
  if (values.here) {
    console.log(JSON.stringify(await measure(names[0], { idles, rounds, stack })));
    return;
  }
  const reports: MeansReport[] = [];
  for (const name of names) {
    const args = ["run", "-A", "--quiet", fileURLToPath(import.meta.url), "--here", "--only", name];
    const rest = ["--idle", values.idle, "--rounds", values.rounds, "--stack", values.stack];
    const { success, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [...args, ...rest],
      stdout: "piped",
      stderr: "inherit",
    }).output();
    if (!success) throw new Error(`${name}: its process failed`);
    const report: MeansReport = JSON.parse(new TextDecoder().decode(stdout));
    reports.push(report);
    console.error(`${name}: done`);
  }
  console.log(`${reports[0].device}, ${new Date().toISOString().slice(0, 10)}\n`);
  console.log(renderTable(reports));
}

if (import.meta.main) {
  await main().catch((error) => {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(2);
  });
  // Devices keep a process alive.
  Deno.exit(0);
}
