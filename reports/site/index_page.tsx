/**
 * The first page: every run with its verdict, the claims, the newest steps.
 *
 * @module
 */
import type { JSX } from "preact";
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { verdictLine } from "../claims/claims.ts";
import { largest, smallest } from "../data/extremes.ts";
import { ABSENT, formatInterval, formatPlural, formatRatio } from "../text/format.ts";
import { VerdictMark } from "../html/first_screen.tsx";
import type { CaseNames } from "./case_names.ts";
import { ClaimMatrix, Scoreboard } from "./claim_matrix.tsx";
import { type ClaimEvidence, claimLine, deviceEvidence } from "./evidence.ts";
import { consecutiveOf, pairWord, type RunPair } from "./pairs.ts";
import { summarizeRun } from "./run_summary.ts";
import { SpeedupFigure } from "./speedup_figure.tsx";
import { countDevices, deviceText, leadRun, type Site, type SiteRun } from "./runs.ts";
import { runImage } from "./preview.tsx";
import { FoldedTable, relative, reportPath, type SiteFile, sitePage } from "./site_page.tsx";
import { StepTable } from "./trend_pages.tsx";
import { canStep, type DeviceTrends, stepsOf } from "./trends.ts";

/** The claim that the verdict of a run is about. */
const HEADLINE = "speedup-forward";
/** Runs that are seen at once. */
const MOST_RUNS_SEEN = 12;
/** Steps of the first page; the trends have all. */
const MOST_STEPS = 6;

/** `index.html`. */
export function indexPage(
  { site, pairs, trends, claims, names, url, preview, api = false, live = false }: {
    site: Site;
    pairs: readonly RunPair[];
    trends: readonly DeviceTrends[];
    claims: readonly ClaimEvidence[];
    /** Address of the site, and whether its runs have pictures. */
    url?: string;
    preview?: unknown;
    names: CaseNames;
    /** Whether the package's documentation lies beside it. */
    api?: boolean;
    /** Whether the page that measures lies beside it. */
    live?: boolean;
  },
): SiteFile {
  const device = site.devices.find(({ software }) => !software) ?? site.devices[0];
  const path = "index.html";
  const before = consecutiveOf(pairs);
  const steps = trends.flatMap((one) =>
    stepsOf(one).map((step) => ({ device: one.device, ...step }))
  ).sort((a, b) => b.step.to.time - a.step.to.time);
  const days = [site.runs[0], site.runs[site.runs.length - 1]].map(({ date }) => date.slice(0, 10));
  return sitePage({
    path,
    entry: "Runs",
    heading: headline(site, claims),
    title: "Runs",
    image: url !== undefined && preview !== undefined ? runImage(leadRun(device), url) : undefined,
    facts: [
      formatPlural(site.runs.length, "run"),
      countDevices(site.devices),
      days[0] === days[1] ? days[0] : `${days[0]} to ${days[1]}`,
      steps.length > 0
        ? formatPlural(steps.length, "step")
        : canStep(trends)
        ? "no step in any trend"
        : "too few runs to tell a step",
    ],
    children: (
      <>
        {live && (
          <p class="source">
            <a href="live/index.html">Measure your own GPU in this browser</a>, beside these
            devices.
          </p>
        )}
        <Curves site={site} path={path} />
        <section id="claims">
          <h2>The paper’s claims</h2>
          <Scoreboard site={site} claims={claims} />
          <ClaimMatrix site={site} claims={claims} path={path} />
        </section>
        <section id="runs">
          <h2>Runs</h2>
          <FoldedTable
            table={{
              caption: "Every run, the newest first",
              columns: [
                { title: "Run" },
                { title: "Device" },
                { title: "Commit" },
                { title: "What it found" },
                { title: "Cases", numeric: true },
                { title: "Against the last like it" },
              ],
              rows: site.runs.toReversed().map((run) =>
                runRow({ run, before: before.get(run), path })
              ),
            }}
            most={MOST_RUNS_SEEN}
            others="older run"
          />
          <p class="source">
            <a href="compare/index.html">Compare any two of them</a>.
          </p>
        </section>
        {steps.length > 0 && (
          <section id="steps">
            <h2>Newest steps</h2>
            <StepTable steps={steps.slice(0, MOST_STEPS)} names={names} path={path} />
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
  // One line for each stack of each GPU, as the matrix below has it.
  const found = site.devices.flatMap((one) => deviceEvidence(claim, one)?.row.ours ?? []);
  const ratios = found.map(({ value }) => value);
  const range = formatInterval([smallest(ratios), largest(ratios)], formatRatio);
  return `The paper’s 21× at 512K tokens, forward, is ${range} here, over this suite’s own dense attention. ${
    claimLine(claim, site.devices)
  }`;
}

function runRow(
  { run, before, path }: { run: SiteRun; before: RunPair | undefined; path: string },
) {
  const { result, device } = run;
  const { found, verdict, measured } = summarizeRun(result);
  const hasFailed = ({ status, check }: CaseRecord) =>
    status === "failed" || check?.passed === false;
  const failed = result.cases.filter(hasFailed).length;
  const fine = result.cases.filter((one) => one.status === "ok" && !hasFailed(one)).length;
  return [
    <>
      <a class="run-link" href={reportPath(run)}>{run.date}</a>
      <span class="aside">
        {result.profile}, stack {device.stack}
        {result.finishedAt === null ? ", cut short" : ""}
      </span>
    </>,
    deviceText(device),
    <code class="run-link">{run.commit}</code>,
    <>
      <span class="found">{found}</span>
      {verdict !== null && (
        <>
          {" "}
          <VerdictMark verdict={verdict} />
        </>
      )}
      <span class="aside">{measured}</span>
    </>,
    <>
      {fine}
      {failed > 0 && <span class="aside">{failed} failed</span>}
    </>,
    before === undefined ? ABSENT : (
      <>
        <a href={relative(path, before.path)}>{pairWord(before)}</a>
        <span class="aside">since {before.before.commit}</span>
      </>
    ),
  ];
}

function Curves({ site, path }: { site: Site; path: string }): JSX.Element | null {
  const figure = SpeedupFigure({
    id: "speedup-figure",
    path,
    devices: site.devices.map((device) => ({ device })),
    all: site.devices,
  });
  if (figure === null) return null;
  return (
    <section id="speed-up">
      <h2 class="visually-hidden">Speed-up over dense attention, on each device</h2>
      <div class="hero">{figure}</div>
    </section>
  );
}
