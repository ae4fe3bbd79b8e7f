/**
 * The trend of each case over commits, a page for each device.
 *
 * @module
 */
import type { JSX } from "preact";
import { formatPlural, formatSeconds } from "../text/format.ts";
import { finite } from "../charts/chart_data.ts";
import { Export, Figure, Table } from "../charts/figure.tsx";
import { countDevices, type Site, type SiteDevice } from "./runs.ts";
import { relative, RunLink, type SiteFile, sitePage } from "./site_page.tsx";
import { STEP_METHOD } from "./steps.ts";
import { formatChange, Sparkline, TrendPlot } from "../charts/trend_plot.tsx";
import { canStep, type CaseTrend, type DeviceTrends, stepsOf, type TrendStep } from "./trends.ts";

/** Cases that have a figure of their own; every case has its line in the table. */
const MOST_FIGURES = 8;
/** Runs of the table of all cases, the newest. */
const MOST_COLUMNS = 60;

/** The overview and the pages of all devices. */
export function trendPages(site: Site, trends: readonly DeviceTrends[]): SiteFile[] {
  return [trendIndex(site, trends), ...trends.map(trendPage)];
}

/** Path of a device's trends. */
export function trendPath({ slug }: SiteDevice): string {
  return `trends/${slug}.html`;
}

/** Steps as a table, or a sentence where there is none. */
export function StepTable(
  { steps, path }: {
    steps: readonly { device?: SiteDevice; id: string; step: TrendStep }[];
    path: string;
  },
): JSX.Element {
  const several = steps.some(({ device }) => device !== undefined);
  return (
    <Table
      caption="Steps, the newest first"
      columns={[
        { title: "Case" },
        ...(several ? [{ title: "Device" }] : []),
        { title: "From" },
        { title: "To" },
        { title: "Before", numeric: true },
        { title: "After", numeric: true },
        { title: "Change", numeric: true },
        { title: "p", numeric: true },
      ]}
      rows={steps.map(({ device, id, step }) => [
        id,
        ...(several ? [device === undefined ? "" : device.label] : []),
        <RunLink run={step.from} path={path} />,
        <RunLink run={step.to} path={path} />,
        formatSeconds(step.before),
        formatSeconds(step.after),
        <>
          <strong class={step.ratio > 1 ? "slower" : "faster"}>{formatChange(step.ratio)}</strong>
          <span class="aside">
            {step.ratio > 1 ? "slower" : "faster"}
            {step.withinCommit ? ", same code: the machine" : ""}
          </span>
        </>,
        step.probability.toFixed(3),
      ])}
    />
  );
}

function trendIndex(site: Site, trends: readonly DeviceTrends[]): SiteFile {
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
        <section>
          <h2>Each device over its commits</h2>
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
                {one.device.name}, {one.device.stack}
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
            <StepTable steps={steps} path={path} />
          </section>
        )}
      </>
    ),
  });
}

function trendPage(trends: DeviceTrends): SiteFile {
  const { device, runs, cases } = trends;
  const path = trendPath(device);
  const steps = stepsOf(trends);
  const shown = featured(cases);
  const labels = runs.map(({ commit }) => commit);
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
        {steps.length > 0 && (
          <section id="steps">
            <h2>Steps</h2>
            <StepTable steps={steps} path={path} />
          </section>
        )}
        {shown.length > 0 && (
          <section id="figures">
            <h2>
              {steps.length > 0 ? "Where it stepped, and the headline" : "The headline cases"}
            </h2>
            <div class="grid-of-figures">
              {shown.map((trend, i) => (
                <TrendFigure id={`trend-figure-${i + 1}`} trend={trend} labels={labels} />
              ))}
            </div>
            <p class="source">
              Medians with their 95 % intervals; the axis of times does not start at zero.{"  "}
              {machines > 1 ? "Another colour and marker is another driver or runtime. " : ""}
              {STEP_METHOD}
            </p>
          </section>
        )}
        {cases.length > 0 && <AllCases trends={trends} />}
      </>
    ),
  });
}

function TrendFigure(
  { id, trend, labels }: { id: string; trend: CaseTrend; labels: readonly string[] },
): JSX.Element {
  const points = trend.lines.flatMap(({ points }) => points).sort((a, b) => a.run - b.run);
  const steps = trend.lines.flatMap(({ steps }) => steps);
  return (
    <Figure
      id={id}
      title={trend.id}
      description={`Median time of ${trend.id}: ` +
        points.map(({ run, median }) => `${formatSeconds(median)} at ${labels[run]}`).join(", ") +
        ". " +
        (steps.length === 0
          ? "No step."
          : steps.map(({ to, ratio }) => `${formatChange(ratio)} at ${to.commit}.`).join(" "))}
      width={530}
      height={290}
      compactHeight={260}
      draw={(size) => <TrendPlot size={size} lines={trend.lines} labels={labels} />}
      data={{
        columns: ["machine", "run", "commit", "median_seconds", "low_seconds", "high_seconds"],
        rows: trend.lines.flatMap(({ fingerprint, points }) =>
          points.map(({ run, median, low, high }) => [
            fingerprint.slice(0, 16),
            run + 1,
            labels[run],
            finite(median),
            finite(low),
            finite(high),
          ])
        ),
      }}
      table={{
        caption: `Times of ${trend.id}`,
        columns: [
          { title: "Run", numeric: true },
          { title: "Commit" },
          { title: "Median", numeric: true },
          { title: "Change", numeric: true },
        ],
        rows: trend.lines.flatMap(({ points }) =>
          points.map(({ run, median }, i) => [
            String(run + 1),
            labels[run],
            formatSeconds(median),
            i === 0 ? "" : formatChange(median / points[i - 1].median),
          ])
        ),
      }}
    />
  );
}

/** Every case with its line; the export holds every time. */
function AllCases({ trends: { runs, cases } }: { trends: DeviceTrends }): JSX.Element {
  const first = Math.max(0, runs.length - MOST_COLUMNS);
  const columns = runs.slice(first).map(({ slug }) => slug);
  return (
    <section id="cases">
      <h2>Every case</h2>
      <figure id="cases-figure" class="figure">
        <figcaption>Median time of each case over commits</figcaption>
        <Table
          caption="Lines from the oldest run to the newest, each on its own scale; dots mark steps"
          columns={[
            { title: "Case" },
            { title: "Trend" },
            { title: "First", numeric: true },
            { title: "Newest", numeric: true },
            { title: "Change", numeric: true },
            { title: "Steps", numeric: true },
          ]}
          rows={cases.map(({ id, lines }) => {
            // Change is told within one machine: that of the newest point.
            const line = lines.reduce((a, b) => lastRun(b.points) > lastRun(a.points) ? b : a);
            const { points } = line;
            const [oldest, newest] = [points[0], points[points.length - 1]];
            return [
              id,
              <Sparkline lines={lines} count={runs.length} />,
              formatSeconds(oldest.median),
              formatSeconds(newest.median),
              points.length > 1 ? formatChange(newest.median / oldest.median) : "–",
              String(lines.reduce((sum, { steps }) => sum + steps.length, 0)),
            ];
          })}
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
