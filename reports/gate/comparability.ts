/**
 * Whether two results may be compared, and which parts: obstacles to comparing times, and cases that
 * one of the runs was not to measure.
 *
 * @module
 */
import { z } from "zod";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { findRecord, type SuiteRecord } from "../../suites/result/suite_record.ts";
import { isCheck, SUITE_RECORDS } from "../../suites/result/suite_records.ts";
import { formatPlural } from "../text/format.ts";

export { timeObstacles } from "./time_obstacles.ts";

/** Suites whose cases a run measured, besides the checks that every run starts with. */
export function measuredSuites({ cases }: Result): string[] {
  return [...new Set(cases.filter(isMeasured).map(({ suite }) => suite))];
}

/**
 * Why two results have nothing to compare although the device is the same; undefined if they do.
 */
export function planObstacle(baseline: Result, candidate: Result): string | undefined {
  const there = new Set(candidate.cases.map(({ id }) => id));
  const common = baseline.cases.filter(({ id }) => there.has(id));
  const [before, after] = [baseline, candidate].map((result) => measuredSuites(result).join(", "));
  const kinds = before === after ? "" : `: ${before || "checks"} and ${after || "checks"}`;
  if (common.length === 0) return `no case in common${kinds}`;
  if (before === "" || after === "" || common.some(isMeasured)) return undefined;
  return `nothing but checks in common${kinds}`;
}

function isMeasured(record: CaseRecord): boolean {
  const { status } = record;
  return !isCheck(record) && (status === "ok" || status === "inconclusive");
}

const numbers = z.array(z.number()).optional().catch(undefined);
const strings = z.array(z.string()).optional().catch(undefined);
const grid = z.record(z.string(), z.array(z.union([z.number(), z.string()]))).optional()
  .catch(undefined);

/** What a configuration requests; a missing or malformed part decides nothing. */
const requestSchema = z.looseObject({
  suites: strings,
  implementations: strings,
  directions: strings,
  contexts: numbers,
  longest: z.record(z.string(), z.number()).optional().catch(undefined),
  heads: numbers,
  kvHeads: numbers,
  headDims: numbers,
  dtype: z.string().optional().catch(undefined),
  options: grid,
  sweeps: z.array(z.looseObject({
    context: z.number().optional().catch(undefined),
    kvHeads: numbers,
    implementations: strings,
    options: grid,
  })).optional().catch(undefined),
});

type Request = z.infer<typeof requestSchema>;

/** Options of the first version's profiles, at the top level there. */
const OLD_OPTIONS = { levels: "levels", pooling: "pooling", k: "k", dilations: "dilation" };

/** A configuration as a request; one of the first version is converted to the current form. */
function requestOf(configuration: Result["configuration"]): Request {
  const renew = (part: Record<string, unknown>): Record<string, unknown> => {
    const options = Object.entries(OLD_OPTIONS).filter(([old]) => part[old] !== undefined)
      .map(([old, name]) => [name, part[old]]);
    if (part.options !== undefined || options.length === 0) return part;
    const rest = Object.entries(part).filter(([name]) => !Object.hasOwn(OLD_OPTIONS, name));
    return { ...Object.fromEntries(rest), options: Object.fromEntries(options) };
  };
  const { checkedOnly: _, sweeps, ...rest } = renew(configuration);
  return requestSchema.parse({
    ...rest,
    ...(Array.isArray(sweeps) && { sweeps: sweeps.map((sweep) => renew({ ...sweep })) }),
  });
}

/** Parts of a configuration that decide no case by themselves. */
const EXECUTION = [
  "name",
  "description",
  "samples",
  "budgetSeconds",
  "seed",
  "stack",
  "tuning",
  "implementations",
];

/** Decides, for a case that only one run has, whether the other was to measure it. */
export class Requests {
  readonly #requests: readonly [Request, Request];
  readonly #isPart: boolean;
  readonly #records: readonly SuiteRecord[];

  /** Whether `other` was to measure the cases of `result`. */
  constructor(
    result: Result,
    other: Result,
    { records = SUITE_RECORDS }: { records?: readonly SuiteRecord[] } = {},
  ) {
    this.#records = records;
    this.#requests = [requestOf(result.configuration), requestOf(other.configuration)];
    const [own, its] = [result, other].map(shardOf);
    this.#isPart = its !== undefined &&
      (own?.plan !== its.plan || own.index !== its.index || own.count !== its.count);
  }

  /** False if the other run was not to measure the case: its absence says nothing about the code. */
  has(record: CaseRecord): boolean {
    if (this.#isPart || this.#excludes(record)) return false;
    const keys = findRecord(this.#records, record.suite).plannedBy ??
      [...new Set(this.#requests.flatMap(Object.keys))].filter((key) => !EXECUTION.includes(key));
    const [own, other] = this.#requests;
    return keys.every((key) => JSON.stringify(own[key]) === JSON.stringify(other[key]));
  }

  /** Whether an axis of the plan has the case's value in its own run and lacks it in the other. */
  #excludes(record: CaseRecord): boolean {
    const { suite, implementation, direction, shape, options = {}, rules = {} } = record;
    const lacks = (has: (request: Request) => boolean | undefined) => {
      const [own, other] = this.#requests.map(has);
      return own === true && other !== true;
    };
    const { checks = false, grid = false } = findRecord(this.#records, suite);
    // Checks are planned for every timed case.
    if (!checks && lacks(({ suites }) => suites?.includes(suite))) return true;
    if (lacks((request) => namesImplementation(request, implementation))) return true;
    if (!grid) return false;
    const { context, heads, kvHeads = heads, headDim, dtype } = shape;
    return lacks(({ directions }) => directions?.includes(direction)) ||
      lacks(({ contexts = [], longest, sweeps = [] }) =>
        contexts.includes(context) && context <= (longest?.[direction] ?? Infinity) ||
        sweeps.some((sweep) => sweep.context === context)
      ) ||
      lacks((request) => request.heads?.includes(heads)) ||
      lacks(({ kvHeads: all = [heads], sweeps = [] }) =>
        [all, ...sweeps.map((sweep) => sweep.kvHeads)].some((counts) => counts?.includes(kvHeads))
      ) ||
      lacks((request) => request.headDims?.includes(headDim)) ||
      lacks((request) => request.dtype === dtype) ||
      Object.entries(options).some(([name, value]) =>
        lacks(({ options, sweeps = [] }) =>
          [options, ...sweeps.map((sweep) => sweep.options)].some((grid) =>
            grid?.[name]?.includes(rules[name] ?? value)
          )
        )
      );
  }
}

/** Whether a request names an implementation, directly or as one of all of ours. */
function namesImplementation({ implementations, sweeps = [] }: Request, name: string): boolean {
  return [implementations, ...sweeps.map((sweep) => sweep.implementations)].some((names) =>
    names?.includes(name) || names?.includes("*") && !name.startsWith("peer:")
  );
}

/** Which part of a plan a shard's result is; the runner records more about it. */
const shardSchema = z.looseObject({
  index: z.int().positive(),
  count: z.int().positive(),
  plan: z.string(),
});

function shardOf(result: Result): z.infer<typeof shardSchema> | undefined {
  return shardSchema.safeParse((result as { shard?: unknown }).shard).data;
}

/** One line on cases that only one run was to measure; undefined if there are none. */
export function describeLeftOut(
  records: readonly CaseRecord[],
  options: { lacking: string },
): string | undefined {
  if (records.length === 0) return undefined;
  const groups = [
    ...Map.groupBy(records, ({ suite, implementation }) => `${suite}/${implementation}`),
  ]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([name, { length }]) => `${length} of ${name}`);
  const shown = groups.slice(0, 4).join(", ");
  const more = groups.length > 4 ? `, and ${groups.length - 4} other kinds` : "";
  return `left out, since the ${options.lacking} did not plan them: ${
    formatPlural(records.length, "case")
  } (${shown}${more})`;
}
