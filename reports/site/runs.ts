/**
 * The runs and devices of a site, from its result files.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import {
  deviceIdentity,
  processorName,
  withoutBrackets,
} from "../../suites/result/device_record.ts";
import { UsageError } from "../../suites/errors.ts";
import { speedupSeries } from "../data/analysis.ts";
import { deviceName } from "../claims/claims.ts";
import { formatInstant, formatPlural } from "../text/format.ts";
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

/** Runs on one device under one stack, whatever driver or runtime. */
export interface SiteDevice {
  readonly slug: string;
  /** The same for a device under every stack. */
  readonly identity: string;
  /** At most 60 characters; the same for a device under every stack. */
  readonly name: string;
  /** The name, with the stack where the site has the device under several. */
  readonly label: string;
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
  const known = collectDevices(results);
  const slugs = new Set<string>();
  const runs = sorted.map(({ result: whole, time }): SiteRun => {
    const result = harmless(whole);
    const device = deviceOf(result, { devices, known });
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

/** How many devices there are, and under how many stacks where a device has several. */
export function countDevices(devices: readonly SiteDevice[]): string {
  const own = new Set(devices.map(({ identity }) => identity)).size;
  const stacks = new Set(devices.map(({ stack }) => stack)).size;
  return formatPlural(own, "device") + (own < devices.length ? `, ${stacks} stacks` : "");
}

/** Name and stacks of every device, by its identity. */
type KnownDevices = ReadonlyMap<string, { name: string; stacks: readonly Result["stack"][] }>;

function collectDevices(results: readonly NamedResult[]): KnownDevices {
  const known = new Map<string, { name: string; stacks: readonly Result["stack"][] }>();
  for (const { result: whole } of results) {
    const result = harmless(whole);
    const identity = deviceIdentity(result.environment);
    const { name = "", stacks = [] } = known.get(identity) ?? {};
    // In small letters where only the adapter told it; the same in whatever order results come.
    known.set(identity, {
      name: [name, fullName(result)].filter(Boolean).sort()[0],
      stacks: [...stacks, result.stack],
    });
  }
  return known;
}

function fullName(result: Result): string {
  const { adapter, cpu } = result.environment;
  const name = deviceName(result);
  return adapter.software ? `${withoutBrackets(name)} on ${processorName(cpu)}` : name;
}

function deviceOf(
  result: Result,
  { devices, known }: { devices: Map<string, SiteDevice>; known: KnownDevices },
): SiteDevice {
  const { environment, stack } = result;
  const identity = deviceIdentity(environment);
  const key = JSON.stringify([identity, stack]);
  const found = devices.get(key);
  if (found !== undefined) return found;
  const { name: full, stacks } = known.get(identity)!;
  const taken = new Set([...devices.values()].map(({ slug }) => slug));
  const name = shorten(full, 60);
  const { software } = environment.adapter;
  const device = {
    slug: uniqueSlug(`${full.slice(0, 36)}-${stack}`, taken),
    identity,
    name,
    label: new Set(stacks).size > 1 ? `${name}, ${stack}` : name,
    stack,
    software,
    runs: [],
  };
  devices.set(key, device);
  return device;
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
