/**
 * A made-up suite that measures nothing, on a made-up machine without WebGPU or files. It has only
 * what the loops of a run need from a suite.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { RunSession } from "../measure/session.ts";
import { caseRecord, withSamples } from "../plan/case_record.ts";
import { ASSUMED_DEVICE } from "../plan/memory_plan.ts";
import type { PlannedCase, PlannedGroup } from "../plan/planned_case.ts";
import { sampleResult } from "../result/_sample_result.ts";
import type { CaseRecord, Result, Sample } from "../result/result_schema.ts";
import type { SuiteRecord } from "../result/suite_record.ts";
import type { ApartSuite, BudgetedSuite, Measurer, Suite, SuiteEntry, SuiteRun } from "../suite.ts";
import type { Host } from "./host.ts";

/** What a made-up case records. */
export interface DiceRecord {
  readonly sum: number;
  /** Its times, which are not samples of a layer. */
  readonly throws: readonly Sample[];
}

/** Everything except cases. */
export interface DicePart {
  readonly faces: readonly { readonly case: string; readonly face: number }[];
}

/** The dice of a made-up case. */
export function diceOf(record: CaseRecord): DiceRecord {
  return record.dice as DiceRecord;
}

function partOf(result: Result): DicePart | undefined {
  return result.diceFaces as DicePart | undefined;
}

/** Everything that merging, replaying and the gate need. */
export const DICE_RECORD: SuiteRecord = {
  name: "made-up-dice",
  title: "dice",
  plannedBy: ["madeUpDice"],
  samples: (record) => diceOf(record).throws,
  exact: (record) => ({ sum: diceOf(record).sum }),
  part: {
    key: "diceFaces",
    join: (results) => ({ faces: results.flatMap((result) => partOf(result)?.faces ?? []) }),
    measured: (result) => (partOf(result)?.faces.length ?? 0) > 0,
    findings: (result, id) =>
      new Map(
        (partOf(result)?.faces ?? []).filter((one) => one.case === id)
          .map(({ face }, i) => [`die ${i + 1}`, { face }]),
      ),
  },
};

interface Options {
  /** Seconds of a throw. */
  readonly seconds?: number;
  /** Called with each group that is measured. */
  readonly onMeasure?: (id: string, measurement: { later: number; again: boolean }) => void;
}

/** A line of a registry: the suite runs within the run's budget, or keeps its own time. */
export function diceEntry(kind: "budgeted" | "apart", options: Options = {}): SuiteEntry {
  const shared = {
    record: DICE_RECORD,
    open: (
      { settings }: { settings?: Readonly<Record<string, Readonly<Record<string, unknown>>>> },
    ) => Promise.resolve(settings?.[DICE_RECORD.name]?.loaded),
    plan: ({ options: { settings } }: Parameters<Suite["plan"]>[0]) => {
      const count = Number(settings?.[DICE_RECORD.name]?.count ?? 0);
      const groups = Array.from({ length: count }, (_, i) => ({ candidates: [planned(i)] }));
      return { groups, configuration: { count }, identity: { sides: 6 } };
    },
    weight: ({ candidates: [{ id }] }: PlannedGroup) => Number(id.at(-1)) + 1,
  };
  const begin = (session: RunSession, run: SuiteRun) => throwDice(session, run, options);
  const suite: BudgetedSuite | ApartSuite = kind === "apart"
    ? { ...shared, beginApart: begin }
    : { ...shared, begin };
  return {
    record: DICE_RECORD,
    flags: [
      { name: "count", flag: "dice", value: "<number>", help: "dice", parse: Number },
      {
        name: "loaded",
        flag: "loaded-die",
        value: "<file>",
        help: "the name of a custom die",
        file: true,
        parse: (text) => text,
      },
    ],
    load: () => Promise.resolve({ suite }),
  };
}

function planned(i: number): PlannedCase {
  return {
    id: `${DICE_RECORD.name}/die/forward/${i}`,
    suite: DICE_RECORD.name,
    implementation: "die",
    family: "dice",
    direction: "forward",
    problem: { shape: { heads: 1, context: 6, headDim: 1, dtype: "f32" } },
    sweeps: [],
  };
}

function throwDice(session: RunSession, run: SuiteRun, options: Options): Measurer {
  const { seconds = 1, onMeasure } = options;
  const part = run.part((): { faces: { case: string; face: number }[] } => ({ faces: [] }));
  return {
    async measure({ candidates: [entry] }, { later, again }) {
      if (session.finished(entry.id) && !again?.has(entry.id)) return;
      onMeasure?.(entry.id, { later: later.length, again: again !== undefined });
      const first = (session.seed + Number(entry.id.at(-1))) % 6 + 1;
      const faces = [first, first % 6 + 1];
      part.faces.push(...faces.map((face) => ({ case: entry.id, face })));
      const throws = Array.from({ length: 12 }, (_, round): Sample => ({
        seconds: seconds * (1 + 0.001 * (round % 5)),
        wallSeconds: seconds,
        round,
        place: 0,
      }));
      const record = withSamples(caseRecord(entry, { status: "ok" }), {
        samples: [],
        seed: session.seed,
      });
      const sum = faces[0] + faces[1];
      await session.record({
        ...record,
        digest: { output: `faces ${faces.join(" ")}` },
        dice: { sum, throws } satisfies DiceRecord,
      });
    },
    finish: () => {
      session.note(`thrown with ${String(run.opened ?? "a fair die")}`);
      return Promise.resolve();
    },
  };
}

/** A device that is never used. */
export const NO_GPU: Gpu = {
  ...ASSUMED_DEVICE,
  capabilities: { ...ASSUMED_DEVICE.capabilities, timestamps: false },
  stack: "deno",
  device: {} as GPUDevice,
  features: [],
  limits: {},
  lost: () => undefined,
  destroy: () => {},
};

/** A machine that only describes itself. */
export function madeUpHost(store: Partial<Pick<Host, "openStore" | "checkFolder">> = {}): Host {
  const { environment, tool } = sampleResult();
  const refuse = (what: string) => () => Promise.reject(new Error(`${what} is not available`));
  return {
    openStack: refuse("a stack"),
    describeEnvironment: () => Promise.resolve(environment),
    describeTool: () => Promise.resolve(tool),
    hashKernels: () => Promise.resolve(null),
    keepWarm: () => Promise.resolve(undefined),
    openPeers: refuse("a peer"),
    applyTuning: (gpu) => Promise.resolve({ gpu, lines: [] }),
    openStore: refuse("a folder"),
    checkFolder: () => Promise.resolve(),
    prepare: () => {},
    ...store,
  };
}
