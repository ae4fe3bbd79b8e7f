/**
 * The runs and devices of a site, from its result files.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { UsageError } from "../../suites/errors.ts";
import { speedupSeries } from "../data/analysis.ts";
import { deviceName } from "../claims/claims.ts";
import { formatInstant } from "../text/format.ts";
import { type NamedResult, refuseTwins } from "../data/twins.ts";
import { harmless } from "../text/harmless.ts";
import { largest } from "../data/extremes.ts";

/** Most runs of one site; all are held in memory. */
export const MOST_RUNS = 200;

/** One run. */
export interface SiteRun {
  /** Name of its pages: lower-case letters, digits and hyphens, unique in the site. */
  readonly slug: string;
  /** What pages show: plain text of bounded length. */
  readonly result: Result;
  /** The result as it was read. */
  readonly whole: Result;
  readonly device: SiteDevice;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** `2026-11-22 03:14 UTC`. */
  readonly date: string;
  /** Short commit, or `no commit`. */
  readonly commit: string;
}

/** Runs on one adapter and stack, whatever driver or runtime. */
export interface SiteDevice {
  readonly slug: string;
  /** At most 60 characters. */
  readonly name: string;
  readonly stack: Result["stack"];
  readonly software: boolean;
  /** Oldest first. */
  readonly runs: SiteRun[];
}

/** Everything that the pages of a site are made of. */
export interface Site {
  /** Oldest first. */
  readonly runs: readonly SiteRun[];
  /** Those with the newest runs first. */
  readonly devices: readonly SiteDevice[];
}

/**
 * The site of the given results.
 *
 * @throws {UsageError} for no results, too many, or two results of one run.
 */
export function planSite(results: readonly NamedResult[]): Site {
  if (results.length === 0) throw new UsageError("0 results given, 1 is needed");
  if (results.length > MOST_RUNS) {
    throw new UsageError(`${results.length} results given, the limit is ${MOST_RUNS}`);
  }
  refuseTwins(results);
  const sorted = results.map(({ result }) => ({ result, time: Date.parse(result.startedAt) }))
    .sort((a, b) => a.time - b.time);
  const devices = new Map<string, SiteDevice>();
  const slugs = new Set<string>();
  const runs = sorted.map(({ result: whole, time }): SiteRun => {
    const result = harmless(whole);
    const device = deviceOf(result, devices);
    const commit = commitOf(result);
    const day = new Date(time).toISOString().slice(0, 10);
    const run: SiteRun = {
      slug: uniqueSlug(`${day}-${device.slug}-${commit}`, slugs),
      result,
      whole,
      device,
      time,
      date: formatInstant(new Date(time).toISOString()),
      commit,
    };
    device.runs.push(run);
    return run;
  });
  const newest = ({ runs }: SiteDevice) => runs[runs.length - 1].time;
  return {
    runs,
    devices: [...devices.values()].sort((a, b) => newest(b) - newest(a)),
  };
}

/**
 * The run that stands for a device: the newest of those that timed the norm scorer against dense
 * attention at about as many contexts as any of its runs, else the newest.
 */
export function leadRun({ runs }: SiteDevice): SiteRun {
  const newestFirst = runs.toReversed();
  const contexts = newestFirst.map(({ result }) => normContexts(result));
  const most = largest(contexts);
  const lead = contexts.findIndex((count) => count > 0 && 2 * count >= most);
  return newestFirst[Math.max(0, lead)];
}

/** A text cut to at most `most` characters. */
export function shorten(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1).trimEnd()}…`;
}

function normContexts(result: Result): number {
  return speedupSeries(result).find(({ implementation, direction }) =>
    implementation === "lighthouse-norm" && direction === "forward"
  )?.points.length ?? 0;
}

function deviceOf(result: Result, devices: Map<string, SiteDevice>): SiteDevice {
  const { environment: { adapter, cpu }, stack } = result;
  const full = adapter.software
    ? `${withoutBrackets(deviceName(result))} on ${processorName(cpu)}`
    : deviceName(result);
  const key = JSON.stringify([full, stack]);
  const known = devices.get(key);
  if (known !== undefined) return known;
  const taken = new Set([...devices.values()].map(({ slug }) => slug));
  const name = shorten(full, 60);
  const slug = uniqueSlug(`${full.slice(0, 36)}-${stack}`, taken);
  const device = { slug, name, stack, software: adapter.software, runs: [] };
  devices.set(key, device);
  return device;
}

/** `Intel(R) Xeon(R) Processor @ 2.50GHz` without what tells nothing apart. */
function processorName(cpu: string): string {
  return withoutBrackets(cpu).replace(/\b(CPU|Processor)\b|@ [\d.]+ ?GHz/g, "")
    .replace(/\s+/g, " ").trim() || "an unnamed processor";
}

function withoutBrackets(text: string): string {
  return text.replace(/\([^)]*\)/g, "").replace(/\s+/g, " ").trim() || text;
}

function commitOf({ tool: { commit, dirty } }: Result): string {
  if (commit === null || commit.trim() === "") return "no commit";
  const short = /^[0-9a-f]{7,}$/i.test(commit) ? commit.slice(0, 7) : shorten(commit, 12);
  return dirty === true ? `${short}+` : short;
}

/** A file name of lower-case letters, digits and hyphens that is not yet in `taken`. */
function uniqueSlug(text: string, taken: Set<string>): string {
  const base = text.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 64)
    .replace(/^-+|-+$/g, "") || "unnamed";
  let slug = base;
  for (let i = 2; taken.has(slug); i++) slug = `${base}-${i}`;
  taken.add(slug);
  return slug;
}
