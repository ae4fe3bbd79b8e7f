/**
 * Device against device and run against run.
 *
 * @module
 */
import type { JSX } from "preact";
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { casesById, isMeasured } from "../data/analysis.ts";
import { FLOP_RATIO, HEADLINE_CONTEXT, PAPER_HARDWARE, PAPER_SPEEDUP } from "../claims/claims.ts";
import {
  ABSENT,
  formatContext,
  formatInterval,
  formatRatio,
  formatSeconds,
} from "../text/format.ts";
import { compareResults } from "../gate/compare_results.ts";
import { GateInputError } from "../gate/gate_config.ts";
import type { CaseVerdict, GateReport } from "../gate/gate_report.ts";
import { CASE_COLUMNS, caseRow, explainCases, explainNoise } from "../gate/gate_table.ts";
import { DotPlot, dotPlotHeight, type DotRow } from "../charts/bar_plot.tsx";
import { finite, plotData } from "../charts/chart_data.ts";
import { Comparison, comparisonLine, runName } from "../html/comparison_section.tsx";
import { Figure, Table } from "../charts/figure.tsx";
import { logDomain, LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import { cycledStyles } from "../charts/palette.ts";
import { contextAxis, describe, formatTick } from "../html/section.tsx";
import { longestCommonContext, normSpeedups } from "../html/speedup_section.tsx";
import { countDevices, leadRun, shorten, type Site, type SiteRun } from "./runs.ts";
import {
  FoldedTable,
  relative,
  reportPath,
  RunLink,
  type SiteFile,
  sitePage,
} from "./site_page.tsx";

/** Devices that are compared with each other, those with the newest runs. */
const MOST_DEVICES = 8;
/** Pairs that are seen at once. */
const MOST_PAIRS_SEEN = 16;
/** Cases of the figure of a comparison; the table has all. */
const MOST_DOTS = 24;

/** Two runs that have a page of their own. */
export interface RunPair {
  readonly before: SiteRun;
  readonly after: SiteRun;
  readonly path: string;
  readonly kind: "consecutive" | "first and newest" | "devices";
  /** Null for devices, whose times are not judged, and where the gate refuses a file. */
  readonly report: GateReport | null;
  /** Why there is no verdict. */
  readonly refusal: string | null;
}

/**
 * The pairs of a site: on each device every run against the one before it that measured like cases, and
 * the newest against the first such; of two devices the runs that stand for them.
 */
export function planPairs(site: Site): RunPair[] {
  const pairs: RunPair[] = [];
  const add = (before: SiteRun, after: SiteRun, kind: RunPair["kind"]) => {
    const judged = kind === "devices" ? { report: null, refusal: null } : judge(before, after);
    pairs.push({
      before,
      after,
      kind,
      path: `compare/${after.slug}.${before.slug}.html`,
      ...judged,
    });
  };
  for (const { runs } of site.devices) {
    const likeBefore = runs.map((run, i) => runs.slice(0, i).filter((other) => isLike(other, run)));
    runs.forEach((run, i) => {
      const before = likeBefore[i].at(-1);
      if (before !== undefined) add(before, run, "consecutive");
    });
    const newest = runs.length - 1;
    if (likeBefore[newest].length > 1) add(likeBefore[newest][0], runs[newest], "first and newest");
  }
  const leads = site.devices.slice(0, MOST_DEVICES).map(leadRun);
  leads.forEach((after, i) =>
    leads.slice(i + 1).forEach((before) => add(before, after, "devices"))
  );
  return pairs;
}

/** Share of what a run measured that a later one must have too to be compared with it. */
const LIKE_FROM = 0.5;

/** Whether a later run had most of what an earlier one measured: a single suite is no successor of a whole run. */
function isLike(before: SiteRun, after: SiteRun): boolean {
  const own = new Set(after.result.cases.map(({ id }) => id));
  const measured = measuredCases(before);
  const common = measured.filter(({ id }) => own.has(id)).length;
  return measured.length > 0 && common >= LIKE_FROM * measured.length;
}

/**
 * What tells what a run was for. Runs of different suites and contexts check the same small layers
 * first, so that checks count in a run of checks alone.
 */
function measuredCases({ result: { cases } }: SiteRun): readonly CaseRecord[] {
  const beyondChecks = cases.filter(({ suite }) => suite !== "correctness");
  if (beyondChecks.length === 0) return cases;
  return beyondChecks.filter(({ status }) => status === "ok" || status === "inconclusive");
}

/** The overview and a page for each pair. */
export function* comparePages(site: Site, pairs: readonly RunPair[]): Generator<SiteFile> {
  yield devicesPage(site, pairs);
  for (const pair of pairs) yield pairPage(pair);
}

/** Speed-up over dense attention of several runs, with the paper's point. */
export function SpeedupComparison(
  { id, runs }: { id: string; runs: readonly { label: string; run: SiteRun }[] },
): JSX.Element | null {
  const styles = cycledStyles(runs.length);
  const plot = runs.map(({ label, run }, i): PlotSeries => ({
    label: shorten(label, 44),
    style: styles[i],
    points: normSpeedups(run.result).map(({ context, ratio, low, high }) => ({
      x: context,
      y: ratio,
      low,
      high,
    })),
  })).filter(({ points }) => points.length > 0);
  if (plot.length === 0) return null;
  const all = plot.flatMap(({ points }) => points);
  const x = contextAxis([...all.map((point) => point.x), HEADLINE_CONTEXT]);
  return (
    <Figure
      id={id}
      title="Speed-up of Lighthouse over dense attention, norm scorer, forward"
      description={`${describe(plot, formatRatio)} The paper’s point is ${
        formatRatio(PAPER_SPEEDUP.forward)
      } at 512K.`}
      draw={(size) => (
        <LogPlot
          size={size}
          x={x}
          y={{
            label: "dense time ÷ Lighthouse time",
            domain: logDomain([...all.flatMap(({ low, high }) => [low!, high!]), 0.8, FLOP_RATIO]),
            format: formatTick(formatRatio),
            base: 10,
          }}
          series={plot}
          guides={[{
            label: "as fast as dense attention",
            points: [[x.domain[0], 1], [x.domain[1], 1]],
            strong: true,
            anchor: "end",
          }]}
          marks={[{
            x: HEADLINE_CONTEXT,
            y: PAPER_SPEEDUP.forward,
            label: `paper: ${formatRatio(PAPER_SPEEDUP.forward)}`,
            detail: "B200",
          }]}
          labelRoom={130}
        />
      )}
      legend={plot.length > 1 ? plot : undefined}
      note={`The star is the paper’s value (${PAPER_HARDWARE}), no measurement of these runs.`}
      data={plotData(plot, { x: "context_tokens", y: "speedup" })}
      table={{
        caption: "Speed-up over dense attention",
        columns: [
          { title: "Context", numeric: true },
          { title: "Run" },
          { title: "Speed-up", numeric: true },
          { title: "95 % interval", numeric: true },
        ],
        rows: plot.flatMap(({ label, points }) =>
          points.map((point) => [
            formatContext(point.x),
            label,
            formatRatio(point.y),
            formatInterval([point.low!, point.high!], formatRatio),
          ])
        ),
      }}
    />
  );
}

/** What a comparison with the run before says, in a few words. */
export function pairWord({ report, refusal }: RunPair): string {
  if (refusal !== null) return "cannot be compared";
  if (report === null) return "times differ by device";
  return report.outcome;
}

function judge(before: SiteRun, after: SiteRun): Pick<RunPair, "report" | "refusal"> {
  try {
    const names = { baseline: before.slug, candidate: after.slug };
    return { report: compareResults(before.result, after.result, { names }), refusal: null };
  } catch (error) {
    if (!(error instanceof GateInputError)) throw error;
    return { report: null, refusal: error.message };
  }
}

function devicesPage(site: Site, pairs: readonly RunPair[]): SiteFile {
  const path = "compare/index.html";
  const devices = site.devices.slice(0, MOST_DEVICES);
  const leads = devices.map(leadRun);
  const results = leads.map(({ result }) => result);
  const within = pairs.filter(({ kind }) => kind !== "devices");
  const across = pairs.filter(({ kind }) => kind === "devices");
  return sitePage({
    path,
    entry: "Devices",
    heading: devices.length === 1
      ? `One device so far: ${devices[0].name}.`
      : longestCommonContext(results) === null
      ? `${countDevices(devices)} side by side.`
      : comparisonLine(results),
    title: "Devices and runs compared",
    facts: devices.map(({ name, stack }, i) => `${runName(i)}: ${name}, ${stack}`),
    children: (
      <>
        <Comparison
          results={results}
          hrefs={leads.map((run) => relative(path, reportPath(run)))}
        />
        <section id="speed-ups">
          <h2>Ratios carry over between devices, times do not</h2>
          <div class="comparison-figure">
            <SpeedupComparison
              id="device-speedup-figure"
              runs={leads.map((run, i) => ({ label: `${runName(i)}: ${run.device.label}`, run }))}
            />
          </div>
        </section>
        {across.length > 0 && (
          <section id="device-pairs">
            <h2>Device against device</h2>
            <PairTable pairs={across} path={path} caption="Pairs of devices" />
          </section>
        )}
        {within.length > 0 && (
          <section id="run-pairs">
            <h2>Run against run, on one device</h2>
            <PairTable
              pairs={within.toReversed()}
              path={path}
              caption="Pairs of runs, newest first"
            />
          </section>
        )}
      </>
    ),
  });
}

function PairTable(
  { pairs, path, caption }: { pairs: readonly RunPair[]; path: string; caption: string },
): JSX.Element {
  return (
    <FoldedTable
      table={{
        caption,
        columns: [{ title: "Comparison" }, { title: "Run" }, { title: "Against" }, {
          title: "What it says",
        }],
        rows: pairs.map((pair) => [
          <>
            <a href={relative(path, pair.path)}>
              {pair.kind === "devices"
                ? `${shorten(pair.after.device.label, 30)} and ${
                  shorten(pair.before.device.label, 30)
                }`
                : `${pair.after.commit} against ${pair.before.commit}`}
            </a>
            <span class="aside">
              {pair.kind === "devices" ? "" : pair.after.device.name +
                (pair.kind === "consecutive" ? "" : ", since the first run")}
            </span>
          </>,
          <RunLink run={pair.after} path={path} />,
          <RunLink run={pair.before} path={path} />,
          pair.refusal ?? pair.report?.sentence ?? "Ratios and slopes; times are not judged.",
        ]),
      }}
      most={MOST_PAIRS_SEEN}
      others="further pair"
    />
  );
}

function pairPage(pair: RunPair): SiteFile {
  const { before, after, path, report, refusal, kind } = pair;
  const runs = [before, after];
  const results = runs.map(({ result }) => result);
  return sitePage({
    path,
    entry: "Devices",
    kicker: kind === "devices" ? "Device against device" : "Run against run",
    heading: report?.sentence ?? (refusal === null ? comparisonLine(results) : `${refusal}.`),
    title: `${after.device.label} ${after.date} against ${
      kind === "devices" ? before.device.label : before.date
    }`,
    facts: runs.map(({ device, date, commit }, i) =>
      `${runName(i)}: ${device.name}, ${device.stack}, ${date}, ${commit}`
    ),
    children: (
      <>
        {report === null ? <CrossRatios pair={pair} /> : <Verdicts pair={pair} report={report} />}
        <Comparison
          results={results}
          hrefs={runs.map((run) => relative(path, reportPath(run)))}
        />
      </>
    ),
  });
}

const INTEREST: readonly CaseVerdict[] = [
  "slower",
  "missing",
  "inconclusive",
  "faster",
  "new",
  "same",
];

/** The gate's verdict on every case. */
function Verdicts({ pair, report }: { pair: RunPair; report: GateReport }): JSX.Element {
  const sorted = [...report.cases].sort((a, b) =>
    Number(b.fails) - Number(a.fails) || INTEREST.indexOf(a.verdict) - INTEREST.indexOf(b.verdict)
  );
  const timed = sorted.flatMap(({ id, verdict, time }) => time ? [{ id, verdict, ...time }] : []);
  const explained = explainCases(report);
  const { before, after } = pair;
  return (
    <section id="verdicts">
      <h2>Case by case, as the gate judges</h2>
      {timed.length > 0 && (
        <RatioFigure
          title="Time of B ÷ time of A, the largest changes"
          axis="B ÷ A: above 1 is slower"
          ratios={timed}
        />
      )}
      {explained.length > 0 && (
        <>
          <h3>What stands out</h3>
          <ul class="prose">
            {explained.slice(0, 60).map(({ case: { id }, text }) => (
              <li>
                <code>{id}</code>: {text}
              </li>
            ))}
            {explained.length > 60 && <li>{explained.length - 60} more, in the table.</li>}
          </ul>
        </>
      )}
      <details class="data">
        <summary>All {sorted.length} cases</summary>
        <Table
          caption={`A is ${before.date}, ${before.commit}; B is ${after.date}, ${after.commit}`}
          columns={CASE_COLUMNS.map((title, i) => ({ title, numeric: i > 1 }))}
          rows={sorted.map(caseRow)}
        />
      </details>
      <p class="source">{explainNoise(report)} {report.notes.join("; ")}</p>
    </section>
  );
}

/** Ratios of medians between devices, without a verdict. */
function CrossRatios({ pair: { before, after } }: { pair: RunPair }): JSX.Element | null {
  const other = casesById(before.result);
  const ratios = after.result.cases.flatMap((record) => {
    const twin = other.get(record.id);
    if (twin === undefined || !isMeasured(record) || !isMeasured(twin)) return [];
    const [a, b] = [twin.statistic, record.statistic];
    if (!(a.low > 0 && b.low > 0)) return [];
    return [{
      id: record.id,
      ratio: b.median / a.median,
      low: b.low / a.high,
      high: b.high / a.low,
      baselineSeconds: a.median,
      candidateSeconds: b.median,
    }];
  });
  if (ratios.length === 0) {
    return (
      <section id="ratios">
        <h2>No case was measured in both runs</h2>
        <p class="lead">The claims and curves below are what they have in common.</p>
      </section>
    );
  }
  return (
    <section id="ratios">
      <h2>Case by case</h2>
      <RatioFigure
        title="Time of B ÷ time of A, the largest differences"
        axis="B ÷ A: below 1, B is the faster device"
        ratios={ratios}
      />
      <p class="source">
        Ratios of medians of two machines, from the ends of their intervals: a description, not a
        verdict on code.
      </p>
    </section>
  );
}

function RatioFigure({ title, axis, ratios }: {
  title: string;
  axis: string;
  ratios: readonly {
    id: string;
    verdict?: string;
    ratio: number;
    low: number;
    high: number;
    baselineSeconds: number;
    candidateSeconds: number;
  }[];
}): JSX.Element {
  const [style] = cycledStyles(1);
  const largest = [...ratios].sort((a, b) =>
    Math.abs(Math.log(b.ratio)) - Math.abs(Math.log(a.ratio))
  )
    .slice(0, MOST_DOTS);
  const rows = largest.map(({ id, ratio, low, high }): DotRow => ({
    label: caseLabel(id),
    value: ratio,
    low,
    high,
    text: formatRatio(ratio),
    style,
  }));
  return (
    <div class="comparison-figure">
      <Figure
        id="ratio-figure"
        title={title}
        description={largest.map(({ id, ratio }) => `${id}: ${formatRatio(ratio)}`).join(", ") +
          "."}
        height={dotPlotHeight(rows.length)}
        compactHeight={dotPlotHeight(rows.length)}
        draw={(size) => (
          <DotPlot
            size={size}
            rows={rows}
            axis={axis}
            format={formatTick(formatRatio)}
            origin={1}
            guide={{ value: 1, label: "as long" }}
          />
        )}
        data={{
          columns: ["case", "verdict", "ratio", "low", "high", "a_seconds", "b_seconds"],
          rows: ratios.map((one) => [
            one.id,
            one.verdict ?? null,
            finite(one.ratio),
            finite(one.low),
            finite(one.high),
            finite(one.baselineSeconds),
            finite(one.candidateSeconds),
          ]),
        }}
        table={{
          caption: "Every case that both runs measured",
          columns: [
            { title: "Case" },
            { title: "A", numeric: true },
            { title: "B", numeric: true },
            { title: "B ÷ A", numeric: true },
            { title: "Interval", numeric: true },
            { title: "Verdict" },
          ],
          rows: ratios.map((one) => [
            one.id,
            formatSeconds(one.baselineSeconds),
            formatSeconds(one.candidateSeconds),
            formatRatio(one.ratio),
            formatInterval([one.low, one.high], formatRatio),
            one.verdict ?? ABSENT,
          ]),
        }}
      />
    </div>
  );
}

/** A case id in the room that a plot has beside its dots. */
function caseLabel(id: string): string {
  const [, implementation = "", direction = "", rest = ""] = id.split("/");
  const context = /^N(\d+)/.exec(rest)?.[1];
  const name = implementation.replace(/^lighthouse-/, "");
  const setting = /-(L.*)$/.exec(rest)?.[1] ?? "";
  const way = direction === "forward" ? "" : direction === "backward" ? " bwd" : " fwd+bwd";
  const text = context === undefined
    ? id
    : `${name}${way} ${formatContext(Number(context))} ${setting}`.trim();
  return shorten(text, 29);
}
