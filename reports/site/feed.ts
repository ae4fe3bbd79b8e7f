/**
 * New runs and steps as a JSON Feed.
 *
 * @module
 */
import { verdictLine } from "../claims/claims.ts";
import { formatSeconds } from "../text/format.ts";
import type { CaseNames } from "./case_names.ts";
import { consecutiveOf, pairSentence, type RunPair } from "./pairs.ts";
import { shorten, type Site } from "./runs.ts";
import { reportPath, type SiteFile } from "./site_page.tsx";
import { formatChange } from "../charts/trend_plot.tsx";
import { trendPath } from "./trend_pages.tsx";
import { type DeviceTrends, stepsOf } from "./trends.ts";

/** Newest items of the feed. */
const MOST_ITEMS = 100;

interface FeedItem {
  id: string;
  url?: string;
  title: string;
  content_text: string;
  date_published?: string;
  tags: string[];
}

/**
 * `feed.json`, version 1.1 of https://jsonfeed.org: an item for each run and each step.
 *
 * @param options.url address of the published site; without it items have no links, which must
 * be absolute.
 */
export function feedFile(
  { site, pairs, trends, names }: {
    site: Site;
    pairs: readonly RunPair[];
    trends: readonly DeviceTrends[];
    names: CaseNames;
  },
  { url }: { url?: string } = {},
): SiteFile {
  const base = url === undefined ? undefined : url.replace(/\/*$/, "/");
  const link = (path: string) => base === undefined ? {} : { url: base + path };
  const id = (path: string) => base === undefined ? path : base + path;
  const date = (time: number) => ({ date_published: new Date(time).toISOString() });
  const before = consecutiveOf(pairs);
  const runs = site.runs.slice(-MOST_ITEMS).map((run): FeedItem & { time: number } => {
    const { device, result, commit } = run;
    const against = before.get(run);
    const path = reportPath(run);
    return {
      id: id(path),
      ...link(path),
      title: `${device.name}: ${verdictLine(result)}`,
      content_text: [
        verdictLine(result),
        `${device.name}, stack ${device.stack}, profile ${result.profile}, commit ${commit}.`,
        ...(against === undefined ? [] : [
          `Against the run of ${against.before.date}: ${pairSentence(against)}`,
        ]),
      ].join("\n"),
      ...date(run.time),
      tags: ["run", device.name],
      time: run.time,
    };
  });
  const steps = trends.flatMap((one) =>
    stepsOf(one).map(({ id: name, step }): FeedItem & { time: number } => {
      const path = `${trendPath(one.device)}#steps`;
      const slower = step.ratio > 1;
      return {
        id: `${id(path)}-${step.to.slug}-${name}`,
        ...link(path),
        title: `${shorten(names.title(name), 100)}, ${slower ? "slower" : "faster"} by ` +
          `${formatChange(slower ? step.ratio : 1 / step.ratio).slice(1)} on ${one.device.label}`,
        content_text:
          `${names.full(name)} (${name}): ${
            formatSeconds(step.before)
          } up to ${step.from.commit} ` +
          `(${step.from.date}), ${formatSeconds(step.after)} from ${step.to.commit} ` +
          `(${step.to.date}) on.`,
        ...date(step.to.time),
        tags: ["step", slower ? "slower" : "faster", one.device.name],
        time: step.to.time,
      };
    })
  );
  const items = [...runs.toReversed(), ...steps].sort((a, b) => b.time - a.time)
    .slice(0, MOST_ITEMS).map(({ time: _, ...item }): FeedItem => item);
  const feed = {
    version: "https://jsonfeed.org/version/1.1",
    title: "Lighthouse Attention Bench",
    ...(base === undefined ? {} : { home_page_url: base, feed_url: `${base}feed.json` }),
    description: "Runs of dense and Lighthouse attention on WebGPU, and steps in their times.",
    language: "en",
    items,
  };
  return { path: "feed.json", text: `${JSON.stringify(feed, null, 1)}\n` };
}
