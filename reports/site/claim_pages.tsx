/**
 * A page for each claim of the paper, with the evidence of all runs and devices.
 *
 * @module
 */
import type { JSX } from "preact";
import {
  formatQuantity,
  formatQuantityInterval,
  type Quantity,
  VERDICT_RULE,
} from "../claims/claims.ts";
import { ABSENT, formatContext, formatPlural, formatRatio, SPREAD_TITLE } from "../text/format.ts";
import { DotPlot, dotPlotHeight, type DotRow } from "../charts/bar_plot.tsx";
import { finite } from "../charts/chart_data.ts";
import { Figure, Table } from "../charts/figure.tsx";
import { VerdictMark } from "../html/first_screen.tsx";
import { runStyles } from "../charts/palette.ts";
import { formatTick } from "../html/section.tsx";
import {
  countDevices,
  deviceText,
  shorten,
  type Site,
  type SiteDevice,
  type SiteRun,
} from "./runs.ts";
import { ClaimMatrix, claimPath, Scoreboard } from "./claim_matrix.tsx";
import { type ClaimEvidence, claimLine, deviceEvidence, type Evidence } from "./evidence.ts";
import { summarizeNeedles } from "./run_summary.ts";
import {
  FoldedTable,
  relative,
  reportPath,
  RunLink,
  type SiteFile,
  sitePage,
} from "./site_page.tsx";

/** Runs that are visible at first in a table of evidence. */
const MOST_EVIDENCE = 20;
/** Runs that are named for one reason. */
const MOST_NAMED = 6;

/** The overview and the page of each claim. */
export function claimPages(site: Site, claims: readonly ClaimEvidence[]): SiteFile[] {
  return [
    overview(site, claims),
    ...claims.filter(({ claim }) => claimPath(claim) !== undefined)
      .map((claim) => claimPage(site, claim)),
  ];
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
          <Scoreboard site={site} claims={claims} />
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
  const hasFigure = devicesWithValue(site, one).length > 0;
  const told = evidence.filter(({ row }) => row.ours !== null || row.nearest !== null);
  const untold = evidence.filter((one) => !told.includes(one));
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
          {hasFigure ? <h2>Evidence of every run</h2> : <h2>{claimLine(one, site.devices)}</h2>}
          {told.length > 0 && <EvidenceTable evidence={told} path={path} />}
          {untold.length > 0 && <NotRun evidence={untold} path={path} alone={told.length === 0} />}
          <p class="source">{VERDICT_RULE}</p>
          {command !== null && (
            <details class="rerun">
              <summary>Run it yourself</summary>
              <code>{command}</code>
            </details>
          )}
        </section>
        {claim.id === "retrieval" && <NeedleRuns site={site} path={path} />}
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

function EvidenceTable(
  { evidence, path }: { evidence: readonly Evidence[]; path: string },
): JSX.Element {
  return (
    <FoldedTable
      most={MOST_EVIDENCE}
      others="older run"
      table={{
        caption: "The newest run first",
        columns: [
          { title: "Run" },
          { title: "Device" },
          { title: "Here" },
          { title: "Here ÷ paper", numeric: true },
          { title: "Verdict" },
          { title: "Why" },
        ],
        rows: evidence.map(({ run, row }) => {
          const interval = row.ours === null ? null : formatQuantityInterval(row.ours);
          return [
            <RunLink run={run} path={path} />,
            deviceText(run.device),
            row.ours === null ? `nearest: ${row.nearest}` : (
              <>
                <span class="quantity">{formatQuantity(row.ours)}</span>
                {interval !== null && <span class="aside">{interval}</span>}
              </>
            ),
            row.ratio === null ? ABSENT : row.ratio.toFixed(2),
            <VerdictMark verdict={row.verdict} />,
            row.why,
          ];
        }),
      }}
    />
  );
}

/** Runs without a value for a claim, each reason once. */
function NotRun(
  { evidence, path, alone }: { evidence: readonly Evidence[]; path: string; alone: boolean },
): JSX.Element {
  const groups = [...Map.groupBy(evidence, ({ row }) => row.why)];
  const list = (
    <dl class="reasons plain">
      {groups.map(([why, of]) => (
        <>
          <dt>{why}</dt>
          <dd>
            {of.length === evidence.length && of.length > MOST_NAMED ? `All ${of.length} runs.` : (
              <>
                {of.slice(0, MOST_NAMED).map(({ run }, i) => (
                  <>
                    {i > 0 && ", "}
                    <a href={relative(path, reportPath(run))}>{run.date.slice(0, 16)}</a>
                  </>
                ))}
                {of.length > MOST_NAMED && ` and ${of.length - MOST_NAMED} more`}
              </>
            )}
          </dd>
        </>
      ))}
    </dl>
  );
  if (alone) return list;
  return (
    <details>
      <summary>{formatPlural(evidence.length, "run")} without a value, and why</summary>
      {list}
    </details>
  );
}

/** Runs that planted needles: without a trained model, but related measurements. */
function NeedleRuns({ site, path }: { site: Site; path: string }): JSX.Element | null {
  const runs = site.runs.filter(({ result }) => (result.retrieval?.cells.length ?? 0) > 0)
    .toReversed().slice(0, MOST_EVIDENCE);
  if (runs.length === 0) return null;
  return (
    <section id="needles">
      <h2>Planted needles, without a trained model</h2>
      <Table
        caption="What each scorer finds and carries is in the reports of these runs"
        columns={[{ title: "Run" }, { title: "Device" }, { title: "What it found" }]}
        rows={runs.map((run) => [
          <RunLink run={run} path={path} />,
          deviceText(run.device),
          summarizeNeedles(run.result)!,
        ])}
      />
    </section>
  );
}

/** Devices with a number; one with a note instead is left out, since its number would mislead. */
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

/** The value of each device, with the paper's. */
function EvidenceFigure({ site, one }: { site: Site; one: ClaimEvidence }): JSX.Element | null {
  const { claim } = one;
  const found = devicesWithValue(site, one);
  if (found.length === 0) return null;
  const styles = runStyles(site.devices.length);
  const { unit } = found[0].ours;
  const format = unit === "ratio" ? formatRatio : unit === "context" ? formatContext : String;
  const axis = { ratio: "ratio", context: "tokens", rows: "rows" }[unit];
  const rows = found.map(({ device, ours }): DotRow => ({
    label: shorten(device.software ? `software: ${device.label}` : device.label, 29),
    value: ours.value,
    low: ours.low ?? undefined,
    high: ours.high ?? undefined,
    text: unit === "context"
      ? formatContext(Math.round(ours.value / 1024) * 1024)
      : format(ours.value),
    style: styles[site.devices.indexOf(device)],
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
            ? "Software adapters compare the algorithms on a processor."
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
              title: SPREAD_TITLE,
              numeric: true,
            }],
            rows: found.map(({ device, ours }) => [
              deviceText(device),
              formatQuantity(ours),
              formatQuantityInterval(ours) ?? ABSENT,
            ]),
          }}
        />
      </div>
    </section>
  );
}
