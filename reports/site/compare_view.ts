/**
 * The table of a comparison: which rows, in which order, and how each is drawn. It runs in the pages
 * of a site.
 *
 * @module
 */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import {
  formatContext,
  formatCount,
  formatInterval,
  formatPercent,
  formatPlural,
  formatRatio,
  formatSeconds,
} from "../text/format.ts";
import type { ComparedTime, RunComparison } from "./compare_runs.ts";
import { verdictWord } from "./verdict_words.ts";

/** Facets for filtering rows, each with a select box. */
export const FILTERS = ["suite", "implementation", "direction", "context"] as const;

/** Values of the boxes; an empty text means everything. */
export type Filters = Readonly<Record<typeof FILTERS[number], string>> & {
  /** Only changes beyond noise. */
  readonly changedOnly: boolean;
};

/** Columns that rows are sorted by. */
export type SortKey = "case" | "a" | "b" | "change" | "verdict";

/** The value of a case that a filter reads. */
function valueOf({ before }: ComparedTime, name: typeof FILTERS[number]): string {
  return String(before[name]);
}

/** Whether a change exceeds noise. */
function isChange({ verdict }: ComparedTime): boolean {
  return verdict === "slower" || verdict === "faster";
}

/** Rows that pass the boxes. */
export function filterTimes(
  times: readonly ComparedTime[],
  filters: Filters,
): readonly ComparedTime[] {
  return times.filter((one) =>
    FILTERS.every((name) => filters[name] === "" || valueOf(one, name) === filters[name]) &&
    (!filters.changedOnly || isChange(one))
  );
}

const VERDICTS = ["slower", "faster", "inconclusive", "same", null] as const;

/** Rows in the order of a column; changes by their size, in either direction. */
export function sortTimes(
  times: readonly ComparedTime[],
  { key, down }: { key: SortKey; down: boolean },
): readonly ComparedTime[] {
  const value = (one: ComparedTime): number => {
    if (key === "a") return one.times[0];
    if (key === "b") return one.times[1];
    if (key === "verdict") return -VERDICTS.indexOf(one.verdict);
    return Math.abs(Math.log(one.ratio));
  };
  const sign = down ? -1 : 1;
  const name = ({ before: { title, setting } }: ComparedTime) => `${title} ${setting}`;
  return [...times].sort((x, y) =>
    key === "case"
      ? sign * name(x).localeCompare(name(y), "en", { numeric: true })
      : sign * (value(x) - value(y))
  );
}

/** The conclusion of a comparison, in one to three sentences. */
export function sentenceOf({ obstacles, identical, times, alone }: RunComparison): string {
  const lone = [
    alone.before.length > 0 && `${formatPlural(alone.before.length, "case")} only in A`,
    alone.after.length > 0 && `${formatPlural(alone.after.length, "case")} only in B`,
  ].filter((part) => part !== false).join(", ");
  const rest = lone === "" ? "" : ` ${lone}.`;
  if (times.length === 0) return `Nothing to compare: no case was timed in both runs.${rest}`;
  if (obstacles.length > 0) {
    return `Not comparable: ${
      obstacles[0]
    }. The ratios below describe the two machines or stacks; ` +
      `none of them is judged.${rest}`;
  }
  if (identical) {
    return `The code, the configuration and the device are the same: every difference below is ` +
      `noise.${rest}`;
  }
  const count = (verdict: ComparedTime["verdict"]) =>
    times.filter((one) => one.verdict === verdict).length;
  const [{ tolerance }] = times;
  const said = [
    [count("slower"), "slower"],
    [count("faster"), "faster"],
    [count("same"), `with ${verdictWord("same", { tolerance })}`],
    [count("inconclusive"), "undecided, since noise could hide one"],
  ] as const;
  const parts = said.filter(([number]) => number > 0).map(([number, word]) =>
    `${formatCount(number)} ${word}`
  );
  const thresholds = times.map(({ threshold }) => threshold!).sort((x, y) => x - y);
  const middle = thresholds[thresholds.length >> 1];
  return `${formatPlural(times.length, "case")} timed in both runs: ${parts.join(", ")}. ` +
    `Noise hides changes of up to ${
      formatPercent(middle).replace(" ", "\u00a0")
    } in a typical case.${rest}`;
}

/**
 * How the ratios of some cases lie: range and geometric mean of all, then of those that got slower
 * and faster.
 */
export function summaryOf(times: readonly Pick<ComparedTime, "ratio" | "verdict">[]): string {
  const lies = (some: readonly { ratio: number }[]) => {
    const logs = some.map(({ ratio }) => Math.log(ratio)).sort((x, y) => x - y);
    const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
    const ends = [logs[0], logs[logs.length - 1]].map((log) => formatRatio(Math.exp(log)));
    return some.length === 1
      ? ends[0]
      : `${ends[0]} to ${ends[1]}, geometric mean ${formatRatio(Math.exp(mean))}`;
  };
  if (times.length === 0) return "";
  const parts = (["slower", "faster"] as const).flatMap((verdict) => {
    const own = times.filter((one) => one.verdict === verdict);
    return own.length === 0 || own.length === times.length
      ? []
      : [`${formatCount(own.length)} ${verdict}: ${lies(own)}`];
  });
  return [`B ÷ A of these cases: ${lies(times)}`, ...parts].map((part) => `${part}.`).join(" ");
}

/** Letters of a value that an address made up. */
const MOST_LETTERS = 60;

/** Puts the values that the cases have into a box, and keeps what was chosen beside them. */
export function fillFilter(
  box: HTMLSelectElement,
  { name, times, wanted }: {
    name: typeof FILTERS[number];
    times: readonly ComparedTime[];
    wanted: string;
  },
): void {
  const values = [...new Set(times.map((one) => valueOf(one, name)))].sort((x, y) =>
    x.localeCompare(y, "en", { numeric: true })
  );
  const label = (value: string) => name === "context" ? formatContext(Number(value)) : value;
  box.replaceChildren(
    new Option("all", ""),
    ...values.map((value) => new Option(label(value), value)),
    ...(wanted === "" || values.includes(wanted)
      ? []
      : [new Option(`${label(wanted).slice(0, MOST_LETTERS)} (in neither run)`, wanted)]),
  );
  box.value = wanted;
}

/** Draws the rows anew, and marks the column that sorts them. */
export function drawTable(
  table: HTMLTableElement,
  { times, all, sort }: {
    times: readonly ComparedTime[];
    /** Rows that share the scale of the drawings. */
    all: readonly ComparedTime[];
    sort: { key: SortKey; down: boolean };
  },
): void {
  for (const button of table.querySelectorAll<HTMLButtonElement>("button[data-sort]")) {
    const own = button.dataset.sort === sort.key;
    button.closest("th")!.ariaSort = own ? sort.down ? "descending" : "ascending" : "none";
  }
  // The middle 90 % set the scale, so that one outlier does not flatten the others.
  const sizes = all.map(({ ratio }) => Math.abs(Math.log(ratio))).sort((x, y) => x - y);
  const span = Math.max(0.02, sizes[Math.floor(0.95 * (sizes.length - 1))] ?? 0) * 1.5;
  table.tBodies[0].replaceChildren(...times.map((one) => drawRow(one, span)));
}

function drawRow(one: ComparedTime, span: number): HTMLTableRowElement {
  const { before, after, verdict, ratio, low, high, times, threshold } = one;
  const row = document.createElement("tr");
  const name = element("th", { scope: "row" }, before.title);
  name.append(element("span", { class: "aside" }, before.setting));
  const change = element("td", { class: "number" });
  const percent = formatPercent(Math.abs(ratio - 1));
  change.append(
    element("strong", { class: isChange(one) ? verdict! : "" }, formatRatio(ratio)),
    element("span", { class: "aside" }, `${ratio < 1 ? "−" : "+"}${percent}`),
  );
  const drawn = element("td", { class: "range" });
  drawn.append(drawRange({ ratio, low, high, span, verdict }));
  row.append(
    name,
    ...[before, after].map(({ atPowerLimit }, side) => {
      const cell = element("td", { class: "number" }, formatSeconds(times[side]));
      if (atPowerLimit) cell.append(element("span", { class: "aside" }, "at the power limit"));
      return cell;
    }),
    change,
    element("td", { class: "number" }, formatInterval([low, high], formatRatio)),
    drawn,
    element("td", { class: "number" }, threshold === null ? "–" : `±${formatPercent(threshold)}`),
    element(
      "td",
      { class: isChange(one) ? `said ${verdict}` : "said" },
      verdict === null ? "not judged" : verdictWord(verdict, one),
    ),
  );
  return row;
}

function element(name: string, attributes: Record<string, string>, text = ""): HTMLElement {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== "") made.setAttribute(key, value);
  }
  made.textContent = text;
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** The interval on a logarithmic scale around 1, next to the numbers. */
function drawRange(
  { ratio, low, high, span, verdict }: {
    ratio: number;
    low: number;
    high: number;
    span: number;
    verdict: ComparedTime["verdict"];
  },
): SVGElement {
  const at = (value: number) =>
    Math.round(10 * (60 + 56 * Math.min(1, Math.max(-1, Math.log(value) / span)))) / 10;
  const shape = (name: string, attributes: Record<string, string | number>) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    return made;
  };
  const svg = shape("svg", {
    viewBox: "0 0 120 16",
    width: 120,
    height: 16,
    "aria-hidden": "true",
  });
  svg.append(
    shape("line", { class: "zero", x1: 60, x2: 60, y1: 0, y2: 16 }),
    shape("line", { class: "ends", x1: at(low), x2: at(high), y1: 8, y2: 8 }),
    shape("circle", { class: "dot", cx: at(ratio), cy: 8, r: 4 }),
  );
  if (verdict === "slower" || verdict === "faster") svg.setAttribute("class", verdict);
  return svg;
}
