import assert from "node:assert/strict";
import { MACHINES, synthesizeRun } from "../../../reports/gate/_quality.ts";
import { createNormal, createRandom } from "../../../reports/gate/bootstrap.ts";
import { renderGateText } from "../../../reports/gate/render_gate.ts";
import { parseGateConfig } from "../../../reports/gate/gate_config.ts";
import type { Result } from "../../result/result_schema.ts";
import { type Block, judgeTurns, LOOKS, type Quad, ratioOfBlocks } from "./judge_paired.ts";
import { runPaired, timedProblems } from "./run_paired.ts";

const NAMES = { baseline: "main", candidate: "the working tree" };

/** Quads with noise that both sides share and noise of each turn and each pair of processes. */
function createTurns(options: { slow?: number; disturbed?: number; noise?: number } = {}) {
  const { slow = 1, disturbed = 1, noise = 0.05 } = options;
  const normal = createNormal(createRandom(7));
  const calls: string[][] = [];
  const quad = (factor: number): Quad => {
    const shared = 0.01 * Math.exp(normal());
    const turn = (times: number) => shared * times * Math.exp(noise * normal());
    return { baseline: [turn(1), turn(1)], candidate: [turn(factor), turn(factor)] };
  };
  const turns = (cases: readonly { id: string }[]) => {
    calls.push(cases.map(({ id }) => id));
    const block: Block = {};
    for (const { id } of cases) {
      const placement = Math.exp(0.2 * noise * normal());
      const factor = disturbed * (id.includes("/dense/") ? slow : 1) * placement;
      block[id] = {
        quads: Array.from({ length: 6 }, () => quad(factor)),
        control: Array.from({ length: 6 }, () => quad(disturbed)),
      };
    }
    return Promise.resolve(block);
  };
  return { turns, calls };
}

function createBench(change: (result: Result, side: string) => void = () => {}) {
  const sides: string[] = [];
  const bench = (side: "baseline" | "candidate") => {
    sides.push(side);
    const result = synthesizeRun(MACHINES.quiet, sides.length);
    change(result, side);
    return Promise.resolve(result);
  };
  return { bench, sides };
}

const common = { names: NAMES, budgetSeconds: 600 };

Deno.test("runPaired: a bench of each side, then blocks until every case has a verdict", async () => {
  const { bench, sides } = createBench();
  const { turns, calls } = createTurns();
  const { report } = await runPaired({ ...common, bench, turns });
  assert.deepEqual(sides, ["candidate", "baseline"]);
  assert.deepEqual([report.outcome, report.method], ["passed", "paired"]);
  assert.ok((LOOKS as readonly number[]).includes(calls.length));
  assert.equal(calls[0].length, 12);
  assert.match(report.notes.join(), /blocks of turns A\/B\/B\/A.*control case in every turn/);
  for (const { time } of report.cases) {
    const { intervals, baselineSeconds, candidateSeconds } = time!;
    assert.ok(intervals!.baseline[0] < baselineSeconds);
    assert.ok(intervals!.baseline[1] > baselineSeconds);
    assert.ok(intervals!.candidate[0] < candidateSeconds);
    assert.ok(intervals!.candidate[1] > candidateSeconds);
  }
});

Deno.test("runPaired benches the baseline on the stack that the candidate ran on", async () => {
  for (const stack of ["deno", "dawn"] as const) {
    const asked: [string, string | undefined][] = [];
    const { bench } = createBench();
    await runPaired({
      ...common,
      ...createTurns(),
      bench: async (side, wanted) => {
        asked.push([side, wanted]);
        return { ...await bench(side), stack: wanted ?? stack };
      },
    });
    assert.deepEqual(asked, [["candidate", undefined], ["baseline", stack]]);
  }
});

Deno.test("runPaired finds a slowdown of dense attention and of nothing else", async () => {
  const { report } = await runPaired({
    ...common,
    ...createBench(),
    ...createTurns({ slow: 1.1 }),
  });
  assert.deepEqual([report.outcome, report.exitCode], ["failed", 1]);
  for (const { id, verdict } of report.cases) {
    assert.equal(verdict === "slower", id.includes("/dense/"), id);
  }
});

Deno.test("runPaired: where the control moves as well, the machine was disturbed: exit code 3", async () => {
  let clock = 0;
  const { report } = await runPaired({
    ...common,
    ...createBench(),
    ...createTurns({ slow: 1.3, disturbed: 1.3 }),
    now: () => clock++ * 10,
  });
  assert.deepEqual([report.outcome, report.exitCode], ["inconclusive", 3]);
  assert.match(report.cases[0].reason!, /control case took 1\.\d+ times.* disturbed/);
  assert.match(
    renderGateText(report),
    /: inconclusive: the control case took 1\.\d+ times.* disturbed/,
  );
});

Deno.test("runPaired takes more blocks of open cases alone, up to its budget, then exit code 3", async () => {
  const { turns, calls } = createTurns();
  const noisy = createTurns({ noise: 0.8 });
  const mixed = async (cases: readonly { id: string }[]) => {
    const [quiet, loud] = [await turns(cases), await noisy.turns(cases)];
    return Object.fromEntries(
      cases.map(({ id }) => [id, id.includes("/dense/") ? loud[id] : quiet[id]]),
    );
  };
  let clock = 0;
  const now = () => clock += 20;
  const { report } = await runPaired({ ...common, ...createBench(), turns: mixed, now });
  assert.equal(report.exitCode, 3);
  assert.ok(calls.length > LOOKS[0]);
  assert.ok(calls.at(-1)!.every((id) => id.includes("/dense/")) && calls.at(-1)!.length > 0);
  clock = 0;
  const little = await runPaired({
    ...common,
    budgetSeconds: 50,
    ...createBench(),
    ...createTurns(),
    now,
  });
  assert.equal(little.report.exitCode, 3);
  assert.match(little.report.cases[0].reason!, /^\d blocks? of turns fit the budget, 6 are needed/);
  // Neither an interval of two values nor a disturbed machine is shown as mere noise.
  assert.match(little.report.sentence, /^Inconclusive: 12 cases without a verdict: \d blocks?/);
  assert.match(renderGateText(little.report), /: inconclusive: \d blocks? of turns fit the budget/);
});

Deno.test("runPaired spends no turn on an exact difference, nor on identical code", async () => {
  const { turns, calls } = createTurns();
  const changed = createBench((result, side) => {
    if (side === "candidate") result.cases[0].digest!.output = "f".repeat(32);
  });
  const wrong = await runPaired({ ...common, ...changed, turns });
  assert.equal(wrong.report.exitCode, 1);
  const same = createBench((result) => result.hashes.wgsl = "a".repeat(64));
  const { report } = await runPaired({ ...common, ...same, turns });
  assert.equal(report.exitCode, 0);
  assert.match(report.sentence, /the code is identical, so every difference in time is noise/);
  assert.equal(calls.length, 0);
});

Deno.test("runPaired: what cannot be prepared is inconclusive with its reason, others are judged", async () => {
  const { turns } = createTurns();
  const lacking = async (cases: readonly { id: string }[]) => {
    const block = await turns(cases);
    for (const id of Object.keys(block)) {
      if (!id.includes("/dense/")) continue;
      block[id] = { quads: [], control: [], reason: "main: not enough memory" };
    }
    return block;
  };
  let clock = 0;
  const now = () => clock += 20;
  const { report } = await runPaired({ ...common, ...createBench(), turns: lacking, now });
  const dense = report.cases.filter(({ id }) => id.includes("/dense/"));
  assert.ok(
    dense.every(({ verdict, reason }) => verdict === "inconclusive" && /memory/.test(reason!)),
  );
  assert.ok(report.cases.some(({ verdict }) => verdict === "same"));
});

Deno.test("timedProblems: layers that both sides timed, as their records describe them", () => {
  const baseline = synthesizeRun(MACHINES.quiet, 1);
  const candidate = synthesizeRun(MACHINES.quiet, 2);
  baseline.cases.shift();
  candidate.cases[2].status = "failed";
  candidate.cases[3].implementation = "peer:other";
  const problems = timedProblems({ baseline, candidate });
  assert.equal(problems.length, 12 - 3);
  const one = problems.find(({ implementation }) => implementation === "lighthouse-norm")!;
  const record = candidate.cases.find(({ id }) => id === one.id)!;
  assert.deepEqual(one.problem.options, record.options);
  assert.equal(one.problem.shape.context, record.shape.context);
  assert.ok(one.flopsPerSecond! > 0 && one.seconds > 0);
});

Deno.test("ratioOfBlocks: linear drift cancels, and what a whole pair of processes shares widens", () => {
  const drifting = Array.from({ length: 6 }, (_, block): Quad[] => {
    const at = (place: number) => Math.exp(0.05 * (4 * block + place));
    return [{ baseline: [at(0), at(3)], candidate: [at(1), at(2)] }];
  });
  const [{ estimate, low, high }] = ratioOfBlocks(drifting, { levels: [0.01] });
  assert.ok(Math.abs(estimate) < 1e-12 && low <= 1e-12 && high >= -1e-12);
  const placed = [-0.1, 0.1, -0.1, 0.1, -0.1, 0.1].map((shift): Quad[] =>
    Array.from({ length: 50 }, () => ({
      baseline: [1, 1],
      candidate: [Math.exp(shift), Math.exp(shift)],
    }))
  );
  const [wide] = ratioOfBlocks(placed, { levels: [0.01] });
  assert.ok(wide.low < -0.1 && wide.high > 0.1);
  assert.throws(() => ratioOfBlocks([], { levels: [0.01] }), RangeError);
});

Deno.test("judgeTurns: a configured noise is the least that is allowed for", () => {
  const quad: Quad = { baseline: [1, 1.01], candidate: [1.2, 1.21] };
  const still: Quad = { baseline: [1, 1], candidate: [1, 1] };
  const blocks = Array.from({ length: 6 }, () => ({ quads: [quad, quad], control: [still] }));
  assert.equal(judgeTurns(blocks, { id: "x", cases: 1 }).verdict, "slower");
  const config = parseGateConfig('{"noise": 0.3}', "c.json");
  assert.equal(judgeTurns(blocks, { id: "x", config, cases: 1 }).verdict, "inconclusive");
});

Deno.test("judgeTurns: one step of the clock is noise, in the case and in its control", () => {
  const step = 1e-4;
  const quad = (own: number): Quad => ({ baseline: [3e-4, 3e-4], candidate: [own, own] });
  const judge = (own: number, control: number, at?: number) => {
    const block = { quads: [quad(own), quad(own)], control: [quad(control)] };
    return judgeTurns(Array.from({ length: 6 }, () => block), { id: "x", cases: 1, step: at });
  };
  assert.equal(judge(4e-4, 3e-4).verdict, "slower");
  const coarse = judge(4e-4, 3e-4, step);
  assert.deepEqual([coarse.verdict, coarse.time!.low < 1], ["inconclusive", true]);
  assert.equal(judge(9e-4, 3e-4, step).verdict, "slower");
  assert.match(judge(9e-4, 4e-4).reason!, /disturbed/);
  assert.equal(judge(9e-4, 4e-4, step).reason, undefined);
});

Deno.test("judgeTurns: cases share what the confidence leaves", () => {
  const quads = (
    shift: number,
  ): Quad[] => [{ baseline: [1, 1], candidate: [1 + shift, 1 + shift] }];
  const blocks = [0.04, 0.05, 0.06, 0.04, 0.05, 0.06].map((shift) => ({
    quads: quads(shift),
    control: quads(0),
  }));
  const widths = [1, 4, 40].map((cases) => judgeTurns(blocks, { id: "x", cases }).time!.threshold);
  assert.ok(widths[0] < widths[1] && widths[1] < widths[2], String(widths));
});

Deno.test("runPaired: benches that cannot be compared take no turns: exit code 4", async () => {
  const { turns, calls } = createTurns();
  const benches = createBench((result, side) => {
    if (side === "baseline") result.environment.driver = "another";
  });
  const { report } = await runPaired({ ...common, ...benches, turns });
  assert.deepEqual([report.exitCode, calls.length], [4, 0]);
  assert.match(report.sentence, /^Not comparable: different drivers/);
});

Deno.test("runPaired that is stopped judges the blocks that it has; before one there is nothing", async () => {
  const stopAt = async (last: number) => {
    const stop = new AbortController();
    const { turns, calls } = createTurns({ noise: 0.5 });
    const stopping = async (cases: Parameters<typeof turns>[0]) => {
      if (calls.length === last) {
        stop.abort(new DOMException("stopped", "AbortError"));
        throw new Error("a process that the signal reached has ended");
      }
      return await turns(cases);
    };
    const { bench } = createBench();
    return await runPaired({ ...common, bench, turns: stopping, signal: stop.signal });
  };
  const { report } = await stopAt(1);
  assert.equal(report.cases.length, 12);
  assert.ok(report.cases.some(({ verdict }) => verdict === "inconclusive"));
  assert.equal(report.exitCode, 3);
  await assert.rejects(stopAt(0), /has ended/);
});
