/**
 * The evidence for the paper's claims from the runs of a site.
 *
 * @module
 */
import { type ClaimRow, judgeClaims, type Verdict } from "../claims/claims.ts";
import { largest, smallest } from "../data/extremes.ts";
import { formatCount, formatInterval, formatPlural } from "../text/format.ts";
import type { Site, SiteDevice, SiteRun } from "./runs.ts";

/** The evidence of one run for a claim. */
export interface Evidence {
  readonly run: SiteRun;
  readonly row: ClaimRow;
}

/** A claim with the evidence of all runs, the newest first. */
export interface ClaimEvidence {
  /** As worded by the newest run. */
  readonly claim: ClaimRow;
  readonly evidence: readonly Evidence[];
}

/** The claims of the paper, in its order, and those that others make of it. */
export function collectEvidence(site: Site): ClaimEvidence[] {
  const newestFirst = site.runs.toReversed();
  const judged = newestFirst.map((run) => ({ run, rows: judgeClaims(run.result) }));
  return judged[0].rows.map((claim) => ({
    claim,
    evidence: judged.flatMap(({ run, rows }) => {
      const row = rows.find(({ id }) => id === claim.id);
      return row === undefined ? [] : [{ run, row }];
    }),
  }));
}

/**
 * The evidence of a device for a claim: of the runs that judged it, those that cover the whole claim
 * before partial ones, and of these the newest with about the most data; else its newest run.
 */
export function deviceEvidence(
  { evidence }: ClaimEvidence,
  device: SiteDevice,
): Evidence | undefined {
  const own = evidence.filter(({ run }) => run.device === device);
  const judged = own.filter(({ row }) => row.extent !== null);
  const whole = judged.filter(({ row }) => row.extent!.whole);
  const candidates = whole.length > 0 ? whole : judged;
  const most = largest(candidates.map(({ row }) => row.extent!.points));
  return candidates.find(({ row }) => 2 * row.extent!.points >= most) ?? own[0];
}

/** How many devices reproduce a claim, and how many of them by few samples, in a sentence. */
export function claimLine(claim: ClaimEvidence, devices: readonly SiteDevice[]): string {
  const ran = devices.flatMap((device) => {
    const row = deviceEvidence(claim, device)?.row;
    return row === undefined || row.verdict === "not run"
      ? []
      : [{ device, verdict: row.verdict, ours: row.ours }];
  });
  if (ran.length === 0) return "Not run on any device.";
  // A device reproduces a claim if any of its stacks does.
  const best = (verdicts: readonly Verdict[]) =>
    (["reproduced", "partly"] as const).find((one) => verdicts.includes(one)) ?? verdicts[0];
  const found = [...Map.groupBy(ran, ({ device }) => device.identity).values()].map((stacks) => {
    const verdict = best(stacks.map((stack) => stack.verdict));
    const telling = stacks.filter((stack) => stack.verdict === verdict);
    // A verdict that any stack has enough samples for rests on those.
    const isFew = telling.every(({ ours }) => ours?.kind === "range");
    return { verdict, few: isFew ? largest(telling.map(({ ours }) => ours!.count!)) : null };
  });
  const verdicts = found.map(({ verdict }) => verdict);
  const few = found.flatMap(({ few }) => few ?? []);
  const counts = few.length === 0 ? "" : formatInterval([smallest(few), largest(few)], String);
  const of = (verdict: Verdict) => verdicts.filter((one) => one === verdict).length;
  const [full, part] = [of("reproduced"), of("partly")];
  const on = `of the ${formatPlural(verdicts.length, "device")} that ran it`;
  if (verdicts.length === 1) {
    const word = full === 1 ? "Reproduced" : part === 1 ? "Partly reproduced" : "Not reproduced";
    const alike = ran.filter(({ verdict }) => verdict === verdicts[0]).length;
    const stacks = ran.length === 1
      ? ""
      : `, under ${alike === ran.length ? alike : `${alike} of ${ran.length}`} stacks`;
    const resting = few.length === 0 ? "" : `, n = ${counts}`;
    return `${word} on the one device that ran it${stacks}${resting}.`;
  }
  const resting = few.length === 0
    ? ""
    : few.length === verdicts.length
    ? `, each with n = ${counts}`
    : `, on ${few.length} with n = ${counts}`;
  if (full === 0 && part === 0) return `Not reproduced on any ${on}${resting}.`;
  if (full === verdicts.length) {
    const all = full === 2 ? "both" : `all ${formatCount(full)}`;
    return `Reproduced on ${all} devices that ran it${resting}.`;
  }
  const parts = [
    ...(full > 0 ? [`Reproduced on ${full}`] : []),
    ...(part > 0 ? [full > 0 ? `in part on ${part}` : `Partly reproduced on ${part}`] : []),
  ];
  return `${parts.join(", ")} ${on}${resting}.`;
}

/** The combined verdict of the devices of a site on a claim. */
export type Standing =
  | "reproduced"
  | "reproduced on some devices"
  | "partly"
  | "not reproduced"
  | "not run";

/** The best verdict of each device that ran a claim, over all stacks, combined. */
export function standingOf(one: ClaimEvidence, devices: readonly SiteDevice[]): Standing {
  const order: Verdict[] = ["reproduced", "partly", "not reproduced"];
  const best = [...Map.groupBy(devices, ({ identity }) => identity).values()].flatMap((stacks) => {
    const found = new Set(stacks.map((device) => deviceEvidence(one, device)?.row.verdict));
    return order.find((verdict) => found.has(verdict)) ?? [];
  });
  if (best.length === 0) return "not run";
  if (best.every((verdict) => verdict === "reproduced")) return "reproduced";
  if (best.includes("reproduced")) return "reproduced on some devices";
  return best.includes("partly") ? "partly" : "not reproduced";
}
