/**
 * Comparison of runs, as the gate judges them, and of devices.
 *
 * @module
 */
import type { JSX } from "preact";
import { Table } from "../charts/figure.tsx";
import { formatPlural } from "../text/format.ts";
import type { CaseVerdict, GateCase, GateReport } from "../gate/gate_report.ts";
import { CASE_COLUMNS, caseRow, explainCases, explainNoise } from "../gate/gate_table.ts";
import { Comparison, comparisonLine, runName } from "../html/comparison_section.tsx";
import { compareHref } from "./compare_href.ts";
import type { CaseNames } from "./case_names.ts";
import { pairSentence, type RunPair, toleranceOf } from "./pairs.ts";
import { CrossRatios, RatioFigure } from "./ratio_figure.tsx";
import { CaseCell, relative, reportPath, type SiteFile, sitePage } from "./site_page.tsx";
import { verdictWord } from "./verdict_words.ts";

/** Cases in the table; the page that compares any two runs has all. */
const MOST_CASES_SHOWN = 1000;
/** Sentences that are visible at first. */
const MOST_SENTENCES = 12;

/** The page of two runs. */
export function pairPage(pair: RunPair, names: CaseNames): SiteFile {
  const { before, after, path, report, kind, refusal } = pair;
  const runs = [before, after];
  const results = runs.map(({ result }) => result);
  const judged = report !== null && report.outcome !== "not comparable";
  return sitePage({
    path,
    entry: kind === "devices" ? "Devices" : "Compare",
    kicker: kind !== "devices"
      ? "Run against run"
      : before.device.identity === after.device.identity
      ? "Stack against stack, on one device"
      : "Device against device",
    heading: report === null && refusal === null ? comparisonLine(results) : pairSentence(pair),
    title: `${after.device.label} ${after.date} against ${
      kind === "devices" ? before.device.label : before.date
    }`,
    facts: runs.map(({ device, date, commit }, i) =>
      `${runName(i)}: ${device.name}, ${device.stack}, ${date}, ${commit}`
    ),
    children: (
      <>
        {judged
          ? <Verdicts pair={pair} report={report} names={names} />
          : <CrossRatios pair={pair} names={names} />}
        <p class="source">
          <a href={compareHref(path, pair)}>The same two runs with filters</a>, or any other two.
        </p>
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
function Verdicts(
  { pair, report, names }: { pair: RunPair; report: GateReport; names: CaseNames },
): JSX.Element {
  const sorted = [...report.cases].sort((a, b) =>
    Number(b.fails) - Number(a.fails) || INTEREST.indexOf(a.verdict) - INTEREST.indexOf(b.verdict)
  );
  const word = wordOf(report);
  const timed = sorted.flatMap((one) =>
    one.time ? [{ id: one.id, verdict: one.verdict, word: word(one), ...one.time }] : []
  );
  const { before, after } = pair;
  const shown = sorted.slice(0, MOST_CASES_SHOWN);
  return (
    <section id="verdicts">
      <h2>Case by case, as the gate judges</h2>
      {timed.length > 0 && (
        <RatioFigure
          title="Time of B ÷ time of A, the largest changes"
          axis="B ÷ A: above 1 is slower"
          ratios={timed}
          names={names}
        />
      )}
      <Explained report={report} names={names} />
      <details class="data">
        <summary>
          {shown.length < sorted.length
            ? `${shown.length} of ${sorted.length} cases, those that stand out first`
            : `All ${sorted.length} cases`}
        </summary>
        <Table
          caption={`A is ${before.date}, ${before.commit}; B is ${after.date}, ${after.commit}`}
          columns={["Case", ...CASE_COLUMNS.filter((title) => title !== "Case")].map((
            title,
            i,
          ) => ({
            title,
            numeric: i > 1,
          }))}
          rows={shown.map((one) => verdictRow(one, { names, word: word(one) }))}
        />
      </details>
      <p class="source">{explainNoise(report)} {report.notes.join("; ")}</p>
    </section>
  );
}

/** How the cases of a report are worded, the same as on the page that compares any two runs. */
function wordOf({ identicalCode }: GateReport): (one: GateCase) => string {
  return (one) => {
    if (one.verdict === "same" && one.time === undefined) return "same result";
    return verdictWord(one.verdict, { tolerance: identicalCode ? null : toleranceOf(one) });
  };
}

function verdictRow(one: GateCase, { names, word }: { names: CaseNames; word: string }) {
  const [, id, ...rest] = caseRow(one);
  return [
    <CaseCell title={names.title(id)} setting={names.setting(id)} />,
    one.fails ? `${word} (fails)` : word,
    ...rest,
  ];
}

/** Sentences on failures and differences, similar ones together; open cases are counted. */
function Explained(
  { report, names }: { report: GateReport; names: CaseNames },
): JSX.Element | null {
  const isOpen = ({ verdict, differences }: GateCase) =>
    verdict === "inconclusive" && differences.length === 0;
  const open = report.cases.filter(isOpen);
  const timed = open.filter(({ time }) => time !== undefined).length;
  const untimed = open.length - timed;
  const groups = [
    ...Map.groupBy(
      explainCases(report).filter((one) => !isOpen(one.case)),
      ({ text }) => text,
    ),
  ].map(([text, of]) => ({
    text: text.replace(/^inconclusive\b/, wordOf(report)(of[0].case)),
    ids: of.map(({ case: { id } }) => id),
  }));
  if (groups.length === 0 && open.length === 0) return null;
  const list = (from: typeof groups) => (
    <ul class="prose">
      {from.map(({ text, ids }) => (
        <li>
          {ids.length > 3
            ? `${ids.length} cases, such as ${names.full(ids[0])}`
            : ids.map((id) => names.full(id)).join("; ")}: {text}
        </li>
      ))}
    </ul>
  );
  return (
    <>
      <h3>What stands out</h3>
      {groups.length > 0 && list(groups.slice(0, MOST_SENTENCES))}
      {groups.length > MOST_SENTENCES && (
        <details>
          <summary>{groups.length - MOST_SENTENCES} more</summary>
          {list(groups.slice(MOST_SENTENCES, 10 * MOST_SENTENCES))}
        </details>
      )}
      {timed > 0 && (
        <p class="lead">
          {formatPlural(timed, "case")} undecided: noise could hide a change there.
        </p>
      )}
      {untimed > 0 && (
        <p class="lead">
          {formatPlural(untimed, "case")} not timed in both runs: too few samples were clean.
        </p>
      )}
    </>
  );
}
