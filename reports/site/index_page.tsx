/**
 * The first page: every run with its verdict, the claims, the newest steps.
 *
 * @module
 */
import type { JSX } from "preact";
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { judgeClaims, verdictLine } from "../claims/claims.ts";
import { ABSENT, formatPlural } from "../text/format.ts";
import { VerdictMark } from "../html/first_screen.tsx";
import { type ClaimEvidence, claimLine, ClaimMatrix } from "./claim_pages.tsx";
import { pairWord, type RunPair, SpeedupComparison } from "./compare_pages.tsx";
import { countDevices, leadRun, type Site, type SiteRun } from "./runs.ts";
import { runImage } from "./preview.tsx";
import { FoldedTable, relative, reportPath, type SiteFile, sitePage } from "./site_page.tsx";
import { StepTable } from "./trend_pages.tsx";
import { canStep, type DeviceTrends, stepsOf } from "./trends.ts";

/** The claim that the verdict of a run is about. */
const HEADLINE = "speedup-forward";
/** Runs that are seen at once. */
const MOST_RUNS_SEEN = 12;
/** Devices of the figure. */
const MOST_CURVES = 6;
/** Steps of the first page; the trends have all. */
const MOST_STEPS = 6;

/** `index.html`. */
export function indexPage({ site, pairs, trends, claims, url, preview, api = false }: {
  site: Site;
  pairs: readonly RunPair[];
  trends: readonly DeviceTrends[];
  claims: readonly ClaimEvidence[];
  /** Address of the site, and whether its runs have pictures. */
  url?: string;
  preview?: unknown;
  /** Whether the package's documentation lies beside it. */
  api?: boolean;
}): SiteFile {
  const device = site.devices.find(({ software }) => !software) ?? site.devices[0];
  const path = "index.html";
  const steps = trends.flatMap((one) =>
    stepsOf(one).map((step) => ({ device: one.device, ...step }))
  ).sort((a, b) => b.step.to.time - a.step.to.time);
  const dated = site.runs.filter(({ time }) => time !== null);
  const days = [dated[0], dated[dated.length - 1]].filter(Boolean).map(({ date }) =>
    date.slice(0, 10)
  );
  return sitePage({
    path,
    entry: "Runs",
    heading: headline(site, claims),
    title: "Runs",
    image: url !== undefined && preview !== undefined ? runImage(leadRun(device), url) : undefined,
    facts: [
      formatPlural(site.runs.length, "run"),
      countDevices(site.devices),
      ...(days.length === 0 ? [] : [days[0] === days[1] ? days[0] : `${days[0]} to ${days[1]}`]),
      steps.length > 0
        ? formatPlural(steps.length, "step")
        : canStep(trends)
        ? "no step in any trend"
        : "too few runs to tell a step",
    ],
    children: (
      <>
        <section id="runs">
          <h2>Runs</h2>
          <FoldedTable
            table={{
              caption: "Every run, the newest first",
              columns: [
                { title: "Run" },
                { title: "Device" },
                { title: "Commit" },
                { title: "Verdict on the 21×" },
                { title: "Cases", numeric: true },
                { title: "Against the last like it" },
              ],
              rows: site.runs.toReversed().map((run) => runRow({ run, pairs, path })),
            }}
            most={MOST_RUNS_SEEN}
            others="older run"
          />
        </section>
        <section id="claims">
          <h2>The paper’s claims</h2>
          <ClaimMatrix site={site} claims={claims} path={path} />
        </section>
        <Curves site={site} />
        {steps.length > 0 && (
          <section id="steps">
            <h2>Newest steps</h2>
            <StepTable steps={steps.slice(0, MOST_STEPS)} path={path} />
            <p class="source">
              {steps.length > MOST_STEPS
                ? `${steps.length - MOST_STEPS} more in the `
                : "How they are found: "}
              <a href="trends/index.html">trends</a>.
            </p>
          </section>
        )}
        {api && (
          <p class="source">
            <a href="api/index.html">Documentation of the package</a>
          </p>
        )}
      </>
    ),
  });
}

function headline(site: Site, claims: readonly ClaimEvidence[]): string {
  const claim = claims.find(({ claim }) => claim.id === HEADLINE);
  const ran = claim?.evidence.some(({ row }) => row.ours !== null) ?? false;
  if (claim === undefined || !ran || site.devices.length === 1) {
    // The device with the newest run speaks, a GPU before a processor.
    const device = site.devices.find(({ software }) => !software) ?? site.devices[0];
    const own = claim?.evidence.find(({ run, row }) => run.device === device && row.ours !== null);
    return verdictLine((own?.run ?? leadRun(device)).result);
  }
  return `The 21× at 512K tokens, forward. ${claimLine(claim, site.devices)}`;
}

function runRow(
  { run, pairs, path }: { run: SiteRun; pairs: readonly RunPair[]; path: string },
) {
  const { result, device } = run;
  const claim = judgeClaims(result).find(({ id }) => id === HEADLINE)!;
  const pair = pairs.find(({ after, kind }) => after === run && kind === "consecutive");
  const hasFailed = ({ status, check }: CaseRecord) =>
    status === "failed" || check?.passed === false;
  const failed = result.cases.filter(hasFailed).length;
  const fine = result.cases.filter((one) => one.status === "ok" && !hasFailed(one)).length;
  return [
    <>
      <a class="run-link" href={reportPath(run)}>{run.date}</a>
      <span class="aside">
        {result.profile}
        {result.finishedAt === null ? ", cut short" : ""}
      </span>
    </>,
    <>
      {device.name}
      <span class="aside">
        stack {device.stack}
        {device.software ? ", software adapter" : ""}
      </span>
    </>,
    <code class="run-link">{run.commit}</code>,
    <>
      <VerdictMark verdict={claim.verdict} />
      <span class="aside">{verdictLine(result)}</span>
    </>,
    <>
      {fine}
      {failed > 0 && <span class="aside">{failed} failed</span>}
    </>,
    pair === undefined ? ABSENT : (
      <>
        <a href={relative(path, pair.path)}>{pairWord(pair)}</a>
        <span class="aside">since {pair.before.commit}</span>
      </>
    ),
  ];
}

function Curves({ site }: { site: Site }): JSX.Element | null {
  const runs = site.devices.slice(0, MOST_CURVES).map(leadRun);
  const figure = SpeedupComparison({
    id: "speedup-figure",
    runs: runs.map((run) => ({ label: run.device.label, run })),
  });
  if (figure === null) return null;
  return (
    <section id="speed-up">
      <h2>Speed-up over dense attention, on each device</h2>
      <div class="comparison-figure">{figure}</div>
    </section>
  );
}
