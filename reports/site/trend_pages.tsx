/**
 * The trend of each case over commits, a page for each device.
 *
 * @module
 */
import type { JSX } from "preact";
import { formatPlural, formatSeconds } from "../text/format.ts";
import { finite } from "../charts/chart_data.ts";
import { Export, Table } from "../charts/figure.tsx";
import type { CaseNames } from "./case_names.ts";
import { countDevices, deviceText, type Site, type SiteDevice } from "./runs.ts";
import { compareHref } from "./compare_href.ts";
import { CaseCell, FoldedTable, relative, RunLink, type SiteFile, sitePage } from "./site_page.tsx";
import { STEP_METHOD } from "./steps.ts";
import { formatChange, Sparkline } from "../charts/trend_plot.tsx";
import { labelsOf, TrendFigure } from "./trend_figure.tsx";
import { canStep, type CaseTrend, type DeviceTrends, stepsOf, type TrendStep } from "./trends.ts";

/** Cases that have a figure of their own; every case has its line in the table. */
const MOST_FIGURES = 8;
/** Runs of the file of all cases, the newest. */
const MOST_COLUMNS = 60;
/** Cases of the table of all; the saved file has every one. */
const MOST_CASES_SHOWN = 600;
/** Cases of that table that are seen at once. */
const MOST_CASES_SEEN = 40;
/** Steps that are seen at once. */
const MOST_STEPS_SEEN = 20;
/** Devices of the overview with a figure. */
const MOST_DEVICE_FIGURES = 4;

/** The overview and the pages of all devices. */
export function trendPages(
  site: Site,
  trends: readonly DeviceTrends[],
  names: CaseNames,
): SiteFile[] {
  return [trendIndex(site, trends, names), ...trends.map((one) => trendPage(one, names))];
}

/** Path of a device's trends. */
export function trendPath({ slug }: SiteDevice): string {
  return `trends/${slug}.html`;
}

/** Steps as a table, or a sentence where there is none. */
export function StepTable(
  { steps, names, path }: {
    steps: readonly { device?: SiteDevice; id: string; step: TrendStep }[];
    names: CaseNames;
    path: string;
  },
): JSX.Element {
  const several = steps.some(({ device }) => device !== undefined);
  return (
    <FoldedTable
      most={MOST_STEPS_SEEN}
      others="further step"
      table={{
        caption: "Steps, the newest first",
        columns: [
          { title: "Case" },
          ...(several ? [{ title: "Device" }] : []),
          { title: "From" },
          { title: "To" },
          { title: "Before", numeric: true },
          { title: "After", numeric: true },
          { title: "Change", numeric: true },
          { title: "p", numeric: true },
        ],
        rows: steps.map(({ device, id, step }) => [
          <CaseCell title={names.title(id)} setting={names.setting(id)} />,
          ...(several ? [device === undefined ? "" : deviceText(device)] : []),
          <RunLink run={step.from} path={path} />,
          <RunLink run={step.to} path={path} />,
          formatSeconds(step.before),
          formatSeconds(step.after),
          <>
            <strong class={step.ratio > 1 ? "slower" : "faster"}>{formatChange(step.ratio)}</strong>
            <span class="aside">
              {step.ratio > 1 ? "slower" : "faster"}
              {step.withinCommit ? ", same code: the machine" : ""},{" "}
              <a href={compareHref(path, { before: step.from, after: step.to })}>compare</a>
            </span>
          </>,
          step.probability.toFixed(3),
        ]),
      }}
    />
  );
}

function trendIndex(
  site: Site,
  trends: readonly DeviceTrends[],
  names: CaseNames,
): SiteFile {
  const path = "trends/index.html";
  const steps = trends.flatMap((one) =>
    stepsOf(one).map((step) => ({ device: one.device, ...step }))
  );
  const cases = trends.reduce((sum, one) => sum + one.cases.length, 0);
  return sitePage({
    path,
    entry: "Trends",
    heading: steps.length > 0
      ? `${formatPlural(steps.length, "step")} in ${formatPlural(cases, "trend")}.`
      : canStep(trends)
      ? `No step in ${formatPlural(cases, "trend")}.`
      : "Too few runs to tell a step from noise.",
    title: "Trends",
    facts: [
      formatPlural(site.runs.length, "run"),
      countDevices(site.devices),
    ],
    children: (
      <>
        <DeviceFigures trends={trends} names={names} />
        <section>
          <h2>Each device over its runs</h2>
          <Table
            caption="Devices"
            columns={[
              { title: "Device" },
              { title: "Runs", numeric: true },
              { title: "Cases", numeric: true },
              { title: "Steps", numeric: true },
              { title: "Newest run" },
            ]}
            rows={trends.map((one) => [
              <a href={relative(path, trendPath(one.device))}>
                {deviceText(one.device)}
              </a>,
              String(one.runs.length),
              String(one.cases.length),
              String(stepsOf(one).length),
              one.device.runs[one.device.runs.length - 1].date,
            ])}
          />
          <p class="source">{STEP_METHOD}</p>
        </section>
        {steps.length > 0 && (
          <section>
            <h2>Steps</h2>
            <StepTable steps={steps} names={names} path={path} />
          </section>
        )}
      </>
    ),
  });
}

function trendPage(trends: DeviceTrends, names: CaseNames): SiteFile {
  const { device, runs, cases } = trends;
  const path = trendPath(device);
  const steps = stepsOf(trends);
  const shown = featured(cases);
  const labels = labelsOf(trends);
  const machines = new Set(runs.map(({ result }) => result.environment.fingerprint)).size;
  const heading = steps.length > 0
    ? `${formatPlural(steps.length, "step")} in ${formatPlural(cases.length, "case")} over ` +
      `${formatPlural(runs.length, "run")}.`
    : !canStep([trends])
    ? `${formatPlural(runs.length, "run")}: too few to tell a step from noise.`
    : `No step in ${formatPlural(cases.length, "case")} over ${formatPlural(runs.length, "run")}.`;
  return sitePage({
    path,
    entry: "Trends",
    kicker: `${device.name}, ${device.stack}`,
    heading,
    title: `Trends on ${device.name}`,
    facts: [
      `${runs[0].date} to ${runs[runs.length - 1].date}`,
      ...(machines > 1
        ? [`${machines} combinations of driver and runtime, compared each within itself`]
        : []),
    ],
    children: (
      <>
        {shown.length > 0 && (
          <section id="figures">
            <h2>
              {steps.length > 0 ? "Where it stepped, and the headline" : "The headline cases"}
            </h2>
            <div class="grid-of-figures">
              {shown.map((trend, i) => (
                <TrendFigure
                  id={`trend-figure-${i + 1}`}
                  path={path}
                  names={names}
                  trend={trend}
                  runs={runs}
                  labels={labels}
                />
              ))}
            </div>
            <p class="source">
              Medians with their intervals; the axis of times does not start at zero.{"  "}
              {machines > 1 ? "Another colour and marker is another driver or runtime. " : ""}
              {STEP_METHOD}
            </p>
          </section>
        )}
        {steps.length > 0 && (
          <section id="steps">
            <h2>Steps</h2>
            <StepTable steps={steps} names={names} path={path} />
          </section>
        )}
        {cases.length > 0 && <AllCases trends={trends} names={names} />}
      </>
    ),
  });
}

/** The first trend of each device that has been run more than once. */
function DeviceFigures(
  { trends, names }: { trends: readonly DeviceTrends[]; names: CaseNames },
): JSX.Element | null {
  const shown = trends.flatMap((one) => {
    const [first] = featured(one.cases);
    const repeated = first?.lines.some(({ points }) => points.length > 1) ?? false;
    return repeated ? [{ one, first }] : [];
  }).slice(0, MOST_DEVICE_FIGURES);
  if (shown.length === 0) return null;
  return (
    <section id="figures">
      <h2 class="visually-hidden">A trend of each device</h2>
      <div class="grid-of-figures">
        {shown.map(({ one, first }, i) => (
          <TrendFigure
            id={`device-trend-${i + 1}`}
            path="trends/index.html"
            title={`${names.title(first.id)}, on ${one.device.label}`}
            names={names}
            trend={first}
            runs={one.runs}
            labels={labelsOf(one)}
          />
        ))}
      </div>
    </section>
  );
}

/** Every case with its line, those with the most runs first; the export holds every time. */
function AllCases(
  { trends: { runs, cases }, names }: { trends: DeviceTrends; names: CaseNames },
): JSX.Element {
  const first = Math.max(0, runs.length - MOST_COLUMNS);
  const columns = runs.slice(first).map(({ slug }) => slug);
  const size = ({ lines }: CaseTrend) =>
    lines.reduce((sum, { points, steps }) => sum + points.length + runs.length * steps.length, 0);
  const sorted = [...cases].sort((a, b) => size(b) - size(a));
  const shown = sorted.slice(0, MOST_CASES_SHOWN);
  // What was measured once has no trend, and is folded where others have one.
  const repeated =
    shown.filter(({ lines }) => lines.some(({ points }) => points.length > 1)).length;
  return (
    <section id="cases">
      <h2>Every case</h2>
      <figure id="cases-figure" class="figure">
        <figcaption>Median time of each case over its runs</figcaption>
        <FoldedTable
          most={repeated === 0 ? MOST_CASES_SEEN : Math.min(repeated, MOST_CASES_SEEN)}
          others="further case"
          table={{
            caption: (shown.length < cases.length
              ? `${shown.length} of ${cases.length} cases, the saved files have all. `
              : "") +
              "Lines from the oldest run to the newest, each on its own scale; dots mark steps",
            columns: [
              { title: "Case" },
              { title: "Trend" },
              { title: "Runs", numeric: true },
              { title: "First", numeric: true },
              { title: "Newest", numeric: true },
              { title: "Change", numeric: true },
              { title: "Steps", numeric: true },
            ],
            rows: shown.map(({ id, lines }) => {
              // Change is told within one machine: that of the newest point.
              const line = lines.reduce((a, b) => lastRun(b.points) > lastRun(a.points) ? b : a);
              const { points } = line;
              const [oldest, newest] = [points[0], points[points.length - 1]];
              return [
                <CaseCell title={names.title(id)} setting={names.setting(id)} />,
                <Sparkline lines={lines} count={runs.length} />,
                String(lines.reduce((sum, one) => sum + one.points.length, 0)),
                formatSeconds(oldest.median),
                formatSeconds(newest.median),
                points.length > 1 ? formatChange(newest.median / oldest.median) : "–",
                String(lines.reduce((sum, { steps }) => sum + steps.length, 0)),
              ];
            }),
          }}
        />
        <Export
          title="Median time of each case over commits"
          data={{
            columns: ["case", ...columns.map((slug) => `${slug}_seconds`)],
            rows: cases.map(({ id, lines }) => {
              const row = Array<number | null>(columns.length).fill(null);
              for (const { run, median } of lines.flatMap(({ points }) => points)) {
                if (run >= first) row[run - first] = finite(median);
              }
              return [id, ...row];
            }),
          }}
        />
      </figure>
    </section>
  );
}

/** Cases with steps, then the paper's setting from its longest context down. */
function featured(cases: readonly CaseTrend[]): CaseTrend[] {
  const newest = ({ lines }: CaseTrend) =>
    Math.max(-1, ...lines.flatMap(({ steps }) => steps.map(({ toRun }) => toRun)));
  const stepped = cases.filter((one) => newest(one) >= 0).sort((a, b) => newest(b) - newest(a));
  const rest = cases.filter((one) => newest(one) < 0);
  const context = ({ id }: CaseTrend) => Number(/\/N(\d+)/.exec(id)?.[1] ?? 0);
  // One point is no trend.
  const followed = rest.filter(({ lines }) => lines.some(({ points }) => points.length > 1));
  const headline = followed.filter(({ id }) =>
    /^latency\/(dense|lighthouse-norm)\/forward\//.test(id)
  )
    .sort((a, b) => context(b) - context(a));
  const others = followed.filter((one) => !headline.includes(one));
  const chosen = [...stepped, ...headline, ...others];
  return (chosen.length > 0 ? chosen : rest).slice(0, MOST_FIGURES);
}

function lastRun(points: readonly { run: number }[]): number {
  return points[points.length - 1].run;
}
