/**
 * What the runs of a site say of the paper's claims.
 *
 * @module
 */
import { type ClaimRow, judgeClaims, type Verdict } from "../claims/claims.ts";
import { largest } from "../data/extremes.ts";
import { formatPlural } from "../text/format.ts";
import type { Site, SiteDevice, SiteRun } from "./runs.ts";

/** What one run says of a claim. */
export interface Evidence {
  readonly run: SiteRun;
  readonly row: ClaimRow;
}

/** A claim with what all runs say of it, the newest first. */
export interface ClaimEvidence {
  /** As the newest run words it. */
  readonly claim: ClaimRow;
  readonly evidence: readonly Evidence[];
}

/** The claims of the paper, in its order, and those made of it elsewhere. */
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
 * What a device says of a claim: of its runs that judged it, those that span the whole claim before
 * those that saw a part, and of these the newest that rests on about as much as any; else its newest.
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

/** How many devices reproduce a claim, in a sentence. */
export function claimLine(claim: ClaimEvidence, devices: readonly SiteDevice[]): string {
  const ran = devices.flatMap((device) => {
    const verdict = deviceEvidence(claim, device)?.row.verdict;
    return verdict === undefined || verdict === "not run" ? [] : [{ device, verdict }];
  });
  if (ran.length === 0) return "Not run on any device.";
  // A device reproduces what it reproduces under any of its stacks.
  const best = (verdicts: readonly Verdict[]) =>
    (["reproduced", "partly"] as const).find((one) => verdicts.includes(one)) ?? verdicts[0];
  const verdicts = [...Map.groupBy(ran, ({ device }) => device.identity).values()]
    .map((stacks) => best(stacks.map(({ verdict }) => verdict)));
  const of = (verdict: Verdict) => verdicts.filter((one) => one === verdict).length;
  const [full, part] = [of("reproduced"), of("partly")];
  const on = `of ${formatPlural(verdicts.length, "device")}`;
  if (verdicts.length === 1) {
    const word = full === 1 ? "Reproduced" : part === 1 ? "Partly reproduced" : "Not reproduced";
    const alike = ran.filter(({ verdict }) => verdict === verdicts[0]).length;
    const stacks = ran.length === 1
      ? ""
      : `, under ${alike === ran.length ? alike : `${alike} of ${ran.length}`} stacks`;
    return `${word} on the one device that ran it${stacks}.`;
  }
  if (full === 0 && part === 0) return `Not reproduced on any ${on}.`;
  const parts = [
    ...(full > 0 ? [`Reproduced on ${full}`] : []),
    ...(part > 0 ? [full > 0 ? `in part on ${part}` : `Partly reproduced on ${part}`] : []),
  ];
  return `${parts.join(", ")} ${on}.`;
}

/** What the devices of a site say of a claim together. */
export type Standing =
  | "reproduced"
  | "reproduced on some devices"
  | "partly"
  | "not reproduced"
  | "not run";

/** The best verdict of each device that ran a claim, whatever stack, taken together. */
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
