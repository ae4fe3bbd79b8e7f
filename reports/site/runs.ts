/**
 * The runs and devices of a site, from its result files.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { UsageError } from "../../suites/errors.ts";
import { speedupSeries } from "../data/analysis.ts";
import { type Card, collectCards } from "./cards.ts";
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

/** Runs on one device under one stack, with any driver or runtime. */
export interface SiteDevice {
  readonly slug: string;
  /** Equal for a device under every stack. */
  readonly identity: string;
  /** At most 90 characters; equal for a device under every stack. */
  readonly name: string;
  /** The name, with the stack if the site has the device under several. */
  readonly label: string;
  /** Why it may be several devices; null if that is certain. */
  readonly doubt: string | null;
  readonly stack: Result["stack"];
  readonly software: boolean;
  /** Oldest first. */
  readonly runs: SiteRun[];
}

/** All data of the pages of a site. */
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
  const sorted = results.map(({ result: whole }) => ({
    whole,
    result: harmless(whole),
    time: Date.parse(whole.startedAt),
  })).sort((a, b) => a.time - b.time);
  const devices = new Map<string, SiteDevice>();
  const known = collectDevices(sorted.map(({ result }) => result));
  const slugs = new Set<string>();
  const runs = sorted.map(({ result, whole, time }): SiteRun => {
    const device = deviceOf(result, { devices, known });
    // One name on all pages, whatever each stack calls the card.
    if (!device.software) result.environment.device.name = known.cards.get(result)!.name;
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
 * The run that represents a device: the newest of those that timed the norm scorer against dense
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

/** A device as a cell of a table, the same everywhere. */
export function deviceText({ label, software }: SiteDevice): string {
  return software ? `${label} (software adapter)` : label;
}

/** The number of devices, and of stacks if a device has several. */
export function countDevices(devices: readonly SiteDevice[]): string {
  const own = new Set(devices.map(({ identity }) => identity)).size;
  const stacks = new Set(devices.map(({ stack }) => stack)).size;
  return formatPlural(own, "device") + (own < devices.length ? `, ${stacks} stacks` : "");
}

/** The card of every result, and the stacks that were used on each card. */
interface KnownDevices {
  readonly cards: ReadonlyMap<Result, Card>;
  readonly stacks: ReadonlyMap<string, ReadonlySet<Result["stack"]>>;
}

function collectDevices(results: readonly Result[]): KnownDevices {
  const cards = collectCards(results);
  const stacks = new Map<string, Set<Result["stack"]>>();
  for (const [{ stack }, { key }] of cards) {
    stacks.set(key, (stacks.get(key) ?? new Set()).add(stack));
  }
  return { cards, stacks };
}

function deviceOf(
  result: Result,
  { devices, known }: { devices: Map<string, SiteDevice>; known: KnownDevices },
): SiteDevice {
  const { environment, stack } = result;
  const card = known.cards.get(result)!;
  const key = JSON.stringify([card.key, stack]);
  const found = devices.get(key);
  if (found !== undefined) return found;
  const taken = new Set([...devices.values()].map(({ slug }) => slug));
  const model = shorten(card.name, 60);
  const name = card.apart === null ? model : `${model} (${shorten(card.apart, 40)})`;
  const device = {
    slug: uniqueSlug(`${card.name.slice(0, 36)}-${stack}`, taken),
    identity: card.key,
    name,
    label: known.stacks.get(card.key)!.size > 1 ? `${name}, ${stack}` : name,
    doubt: card.doubt,
    stack,
    software: environment.adapter.software,
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
