/**
 * A page for each claim of the paper, with the evidence of all runs and devices.
 *
 * @module
 */
import type { JSX } from "preact";
import {
  type ClaimRow,
  formatQuantity,
  formatQuantityInterval,
  judgeClaims,
  type Quantity,
  type Verdict,
  VERDICT_RULE,
} from "../claims/claims.ts";
import { ABSENT, formatContext, formatPlural, formatRatio } from "../text/format.ts";
import { DotPlot, dotPlotHeight, type DotRow } from "../charts/bar_plot.tsx";
import { finite } from "../charts/chart_data.ts";
import { Figure, Table } from "../charts/figure.tsx";
import { VerdictMark } from "../html/first_screen.tsx";
import { cycledStyles } from "../charts/palette.ts";
import { formatTick } from "../html/section.tsx";
import { countDevices, shorten, type Site, type SiteDevice, type SiteRun } from "./runs.ts";
import { relative, RunLink, type SiteFile, sitePage } from "./site_page.tsx";
import { largest } from "../data/extremes.ts";

/** Devices that have a column of their own in the table of claims. */
const MOST_COLUMNS = 5;

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

/** Path of a claim's page; undefined for claims that are not the paper's. */
export function claimPath({ id, verdict }: ClaimRow): string | undefined {
  return verdict === "not the paper's claim" ? undefined : `claims/${id}.html`;
}

/** The overview and the page of each claim. */
export function claimPages(site: Site, claims: readonly ClaimEvidence[]): SiteFile[] {
  return [
    overview(site, claims),
    ...claims.filter(({ claim }) => claimPath(claim) !== undefined)
      .map((claim) => claimPage(site, claim)),
  ];
}

/** Claims against devices, a verdict in each cell. */
export function ClaimMatrix(
  { site, claims, path }: { site: Site; claims: readonly ClaimEvidence[]; path: string },
): JSX.Element {
  const devices = site.devices.slice(0, MOST_COLUMNS);
  return (
    <>
      <Table
        caption="Claims of the paper and the verdict on each device"
        columns={[
          { title: "Claim" },
          { title: "Paper" },
          ...devices.map(({ name, stack }) => ({ title: `${shorten(name, 36)}, ${stack}` })),
        ]}
        rows={claims.flatMap((one) => {
          const to = claimPath(one.claim);
          if (to === undefined) return [];
          return [[
            <a href={relative(path, to)}>{one.claim.claim}</a>,
            one.claim.paper.text,
            ...devices.map((device) => {
              const found = deviceEvidence(one, device);
              return found === undefined ? ABSENT : <Judged row={found.row} />;
            }),
          ]];
        })}
      />
      {site.devices.length > devices.length && (
        <p class="source">
          {formatPlural(site.devices.length - devices.length, "device")}{" "}
          without a newer run: on the claims’ own pages.
        </p>
      )}
    </>
  );
}

function Judged({ row }: { row: ClaimRow }): JSX.Element {
  return (
    <>
      <VerdictMark verdict={row.verdict} />
      {row.ours !== null && (
        <span class="aside">
          {formatQuantity(row.ours)}
          {row.software ? ", software adapter" : ""}
        </span>
      )}
    </>
  );
}

function overview(site: Site, claims: readonly ClaimEvidence[]): SiteFile {
  const path = "claims/index.html";
  const own = claims.filter(({ claim }) => claimPath(claim) !== undefined);
  const elsewhere = claims.filter(({ claim }) => claimPath(claim) === undefined);
  const reproduced =
    own.filter((one) =>
      site.devices.some((device) => deviceEvidence(one, device)?.row.verdict === "reproduced")
    ).length;
  return sitePage({
    path,
    entry: "Claims",
    heading: `${reproduced} of ${
      formatPlural(own.length, "claim")
    } reproduced on at least one device.`,
    title: "Claims of the paper",
    facts: [formatPlural(site.runs.length, "run"), countDevices(site.devices)],
    children: (
      <>
        <section id="claims">
          <h2 class="visually-hidden">Claims</h2>
          <ClaimMatrix site={site} claims={claims} path={path} />
          <p class="source">{VERDICT_RULE}</p>
        </section>
        <section id="elsewhere">
          <h2>Said of the paper elsewhere</h2>
          <dl class="said">
            {elsewhere.map(({ claim }) => (
              <>
                <dt>{claim.claim}</dt>
                <dd>{claim.why}</dd>
              </>
            ))}
          </dl>
        </section>
      </>
    ),
  });
}

function claimPage(site: Site, one: ClaimEvidence): SiteFile {
  const { claim, evidence } = one;
  const path = claimPath(claim)!;
  const command = evidence.find(({ row }) => row.command !== null)?.row.command ?? null;
  const hasValue = devicesWithValue(site, one).length > 0;
  const details = claim.id === "growth" ? [] : claim.details;
  return sitePage({
    path,
    entry: "Claims",
    kicker: "Claim of the paper",
    heading: `${claim.claim}.`,
    title: claim.claim,
    facts: [
      `paper: ${claim.paper.text}`,
      claim.paper.hardware,
      formatPlural(evidence.filter(({ row }) => row.ours !== null).length, "run") + " with a value",
    ],
    children: (
      <>
        <EvidenceFigure site={site} one={one} />
        <section id="evidence">
          {hasValue ? <h2>Evidence of every run</h2> : <h2>{claimLine(one, site.devices)}</h2>}
          <Table
            caption="The newest run first"
            columns={[
              { title: "Run" },
              { title: "Device" },
              { title: "Here" },
              { title: "Here ÷ paper", numeric: true },
              { title: "Verdict" },
              { title: "Why" },
            ]}
            rows={evidence.map(({ run, row }) => {
              const interval = row.ours === null ? null : formatQuantityInterval(row.ours);
              return [
                <RunLink run={run} path={path} />,
                `${run.device.name}, ${run.device.stack}${
                  run.device.software ? " (software adapter)" : ""
                }`,
                row.ours === null ? row.nearest === null ? ABSENT : `nearest: ${row.nearest}` : (
                  <>
                    <span class="quantity">{formatQuantity(row.ours)}</span>
                    {interval !== null && <span class="aside">{interval}</span>}
                  </>
                ),
                row.ratio === null ? ABSENT : row.ratio.toFixed(2),
                <VerdictMark verdict={row.verdict} />,
                row.why,
              ];
            })}
          />
          <p class="source">{VERDICT_RULE}</p>
          {command !== null && (
            <details class="rerun">
              <summary>Run it yourself</summary>
              <code>{command}</code>
            </details>
          )}
        </section>
        {details.length > 0 && (
          <section id="paper">
            <h2>The paper’s rows</h2>
            <dl class="pairs">
              {details.map(({ label, paper }) => (
                <>
                  <dt>{label}</dt>
                  <dd>{paper}</dd>
                </>
              ))}
            </dl>
          </section>
        )}
      </>
    ),
  });
}

/** Devices with a number of their own; a note in place of it means that it alone would mislead. */
function devicesWithValue(
  site: Site,
  one: ClaimEvidence,
): { device: SiteDevice; ours: Quantity; run: SiteRun }[] {
  return site.devices.flatMap((device) => {
    const evidence = deviceEvidence(one, device);
    const ours = evidence?.row.ours ?? null;
    return ours === null || ours.note !== undefined ? [] : [{ device, ours, run: evidence!.run }];
  });
}

/** The value of each device beside the paper's. */
function EvidenceFigure({ site, one }: { site: Site; one: ClaimEvidence }): JSX.Element | null {
  const { claim } = one;
  const found = devicesWithValue(site, one);
  if (found.length === 0) return null;
  const styles = cycledStyles(2);
  const { unit } = found[0].ours;
  const format = unit === "ratio" ? formatRatio : unit === "context" ? formatContext : String;
  const axis = { ratio: "ratio", context: "tokens", rows: "rows" }[unit];
  const rows = found.map(({ device, ours }): DotRow => ({
    label: shorten(device.label, 29),
    value: ours.value,
    low: ours.low ?? undefined,
    high: ours.high ?? undefined,
    text: unit === "context"
      ? formatContext(Math.round(ours.value / 1024) * 1024)
      : format(ours.value),
    style: styles[device.software ? 1 : 0],
  }));
  return (
    <section id="values">
      <h2>{claimLine(one, site.devices)}</h2>
      <div class="comparison-figure">
        <Figure
          id="claim-figure"
          title="The value of each device"
          description={rows.map(({ label, text }) => `${label}: ${text}`).join(", ") +
            `. The paper says ${claim.paper.text}.`}
          height={dotPlotHeight(rows.length)}
          compactHeight={dotPlotHeight(rows.length)}
          draw={(size) => (
            <DotPlot
              size={size}
              rows={rows}
              axis={axis}
              format={formatTick(format)}
              guide={claim.paper.value === null
                ? undefined
                : { value: claim.paper.value, label: `paper: ${claim.paper.text}` }}
            />
          )}
          note={found.some(({ device }) => device.software)
            ? "The second colour and shape are software adapters: they compare the algorithms on a processor."
            : undefined}
          data={{
            columns: ["device", "stack", "run", "value", "low", "high", "paper"],
            rows: found.map(({ device, ours, run }) => [
              device.name,
              device.stack,
              run.slug,
              finite(ours.value),
              finite(ours.low),
              finite(ours.high),
              finite(claim.paper.value),
            ]),
          }}
          table={{
            caption: "The value of each device",
            columns: [{ title: "Device" }, { title: "Value", numeric: true }, {
              title: "95 % interval",
              numeric: true,
            }],
            rows: found.map(({ device, ours }) => [
              `${device.name}, ${device.stack}`,
              formatQuantity(ours),
              formatQuantityInterval(ours) ?? ABSENT,
            ]),
          }}
        />
      </div>
    </section>
  );
}
