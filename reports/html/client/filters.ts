/// <reference lib="dom" />
/**
 * Filters by device, scorer, direction and context, for all charts and tables of a page at once.
 * What is chosen stands in the address; sections without a match are folded to their headings.
 *
 * @module
 */
import { formatContext } from "../../text/format.ts";
import {
  contextOf,
  type Facet,
  FACETS,
  facetsOfCase,
  facetsOfName,
  facetsOfRow,
  type FacetValues,
  passes,
} from "./facets.ts";
import type { Readout } from "../../charts/drawing.ts";
import { fillRows, hasPacked } from "./more_rows.ts";
import { figureData, packedFigures } from "./figure_data.ts";
import { hiddenOf, showAsHidden } from "./marks.ts";

/** Of the address, before the name of a filter; a page's script may have parameters of its own. */
const PARAMETER = "show-";

/** The items that the filters act on. */
interface Filtered {
  readonly figures: readonly {
    readonly figure: HTMLElement;
    /** Whether its horizontal axis is the context. */
    readonly overContexts: boolean;
    readonly series: readonly { own: FacetValues; points: readonly FacetValues[] }[];
  }[];
  readonly tables: readonly {
    readonly box: HTMLElement;
    readonly rows: readonly { row: HTMLElement; values: FacetValues }[];
  }[];
  /** What the figures show that are in folded parts and not there yet. */
  readonly unopened: readonly FacetValues[];
  /** Parts of the page that belong to one value as a whole. */
  readonly parts: readonly { part: HTMLElement; values: FacetValues }[];
}

/** What is chosen: at first, what the address says. */
const chosen: FacetValues = {};
for (const facet of FACETS) {
  const value = new URLSearchParams(location.search).get(PARAMETER + facet);
  if (value !== null) chosen[facet] = value;
}

/** The bar before the first section, with every filter that has two values or more. */
export async function addFilters(): Promise<void> {
  let found = await collect();
  const values = Object.fromEntries(FACETS.map((facet) => [facet, valuesOf(found, facet)]));
  const offered = FACETS.filter((facet) => values[facet].length > 1);
  document.querySelector("form.filters")?.remove();
  const before = document.querySelector("main section");
  if (offered.length === 0 || before === null) return;
  const form = document.createElement("form");
  form.className = "filters";
  form.setAttribute("aria-label", "Filter the charts and tables of this page");
  for (const facet of offered) form.append(choice(facet, values[facet]));
  const clear = Object.assign(document.createElement("button"), {
    type: "reset",
    textContent: "Show all",
  });
  // There before anything is chosen, so that a change is read aloud.
  const said = document.createElement("output");
  const change = async () => {
    const data = new FormData(form);
    for (const facet of offered) {
      const value = String(data.get(facet) ?? "");
      if (value === "") delete chosen[facet];
      else chosen[facet] = value;
    }
    const active = Object.keys(chosen).length > 0;
    clear.hidden = !active;
    form.classList.toggle("active", active);
    // Rows that are not there yet pass or fail as well, in a folded table when it opens.
    if (active && await fillRows(document, { inView: true })) found = await collect();
    apply(found);
    const folded = foldEmpty(found);
    const text = active ? folded : "";
    if (said.textContent !== text) said.textContent = text;
    writeAddress();
  };
  form.append(clear, said);
  form.onchange = () => void change();
  form.onreset = () => setTimeout(change);
  form.onsubmit = (event) => event.preventDefault();
  before.before(form);
  await change();
}

function choice(facet: Facet, values: readonly string[]): HTMLLabelElement {
  const label = document.createElement("label");
  const select = document.createElement("select");
  select.name = facet;
  const option = (value: string, text: string) => select.append(new Option(text, value));
  option("", "all");
  for (const value of values) option(value, textOf(facet, value));
  select.value = chosen[facet] ?? "";
  label.append(facet.charAt(0).toUpperCase() + facet.slice(1), select);
  return label;
}

function textOf(facet: Facet, value: string): string {
  return facet === "context"
    ? formatContext(Number(value))
    : facet === "direction"
    ? value.replace("-", " and ")
    : value;
}

/** The facets of every series of a figure and of its points. */
function seriesOf(readout: Readout | undefined, around: FacetValues) {
  const overContexts = readout?.x.startsWith("context") ?? false;
  const series = (readout?.series ?? []).map(({ name, facets, points, ...one }) => {
    const ids = points.map(([, , , , id]) => id);
    const cases = ids.map((id) => id === null ? {} : facetsOfCase(id));
    const [first = facetsOfCase(one.case ?? "")] = cases;
    // A peer may have Lighthouse in its name without being one of its scorers.
    const isPeer = [one.case, ...ids].some((id) => id?.includes("/peer:"));
    const said = { ...(isPeer ? {} : facetsOfName(name)), ...facets };
    const own: FacetValues = { ...around, ...said, ...sameOf(cases, first) };
    delete own.context;
    return {
      name,
      said,
      own,
      points: points.map(([where], i): FacetValues => ({
        ...own,
        ...cases[i],
        ...(overContexts && { context: contextOf(where) }),
      })),
    };
  });
  return { series, overContexts };
}

async function collect(): Promise<Filtered> {
  const named = new Map<string, FacetValues>();
  const inherited = (element: Element): FacetValues =>
    Object.fromEntries(
      FACETS.flatMap((facet) => {
        const value = element.closest(`main [data-${facet}]`)?.getAttribute(`data-${facet}`);
        return value ? [[facet, value]] : [];
      }),
    );
  const figures = await Promise.all(
    [...document.querySelectorAll<HTMLElement>("main figure")].map(async (figure) => {
      const found = seriesOf((await figureData(figure))?.readout, inherited(figure));
      for (const { name, said } of found.series) if (name !== "") named.set(name, said);
      return { figure, ...found };
    }),
  );
  const tables = [...document.querySelectorAll<HTMLElement>("main .scroll")].map((box) => {
    const table = box.querySelector("table")!;
    const headings = [...table.tHead?.rows[0]?.cells ?? []].map((cell) => cell.textContent!.trim());
    const around = inherited(box);
    return {
      box,
      rows: [...table.tBodies[0]?.rows ?? []].map((row) => ({
        row,
        values: {
          ...around,
          ...facetsOfRow(headings, [...row.cells].map(textOrCase), named),
        },
      })),
    };
  });
  const parts = [
    ...document.querySelectorAll<HTMLElement>(
      FACETS.map((facet) => `main [data-${facet}]`).join(),
    ),
  ].map((part) => ({ part, values: inherited(part) }));
  // Of a page without packed parts every figure is there.
  const others = hasPacked(document) ? await packedFigures() : [];
  const unopened = others.flatMap(({ readout }) => {
    const { series, overContexts } = seriesOf(readout, {});
    return series.flatMap(({ own, points }) => [own, ...overContexts ? points : []]);
  });
  return { figures, tables, parts, unopened };
}

/** What a cell says: the id of the case that it names, else its text. */
function textOrCase(cell: HTMLTableCellElement): string {
  return cell.querySelector<HTMLElement>("[data-case]")?.dataset.case ?? cell.textContent ?? "";
}

/** Facets that are equal for all cases of a series. */
function sameOf(cases: readonly FacetValues[], first: FacetValues): FacetValues {
  return Object.fromEntries(
    Object.entries(first).filter(([facet, value]) =>
      cases.every((one) => one[facet as Facet] === value)
    ),
  );
}

function valuesOf({ figures, tables, parts, unopened }: Filtered, facet: Facet): string[] {
  const all = [
    ...unopened,
    // Checks have their own contexts, which no chart shows.
    ...figures.filter(({ overContexts }) => overContexts || facet !== "context").flatMap((one) =>
      one.series.flatMap(({ own, points }) => [own, ...points])
    ),
    ...(facet === "context" ? [] : tables.flatMap(({ rows }) => rows.map(({ values }) => values))),
    ...parts.map(({ values }) => values),
  ].flatMap((values) => values[facet] ?? []);
  return [...new Set(all)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

function apply({ figures, tables, parts }: Filtered): void {
  for (const { figure, series } of figures) {
    const hidden = hiddenOf(figure);
    hidden.filtered = new Set(
      series.flatMap(({ own, points }, i) =>
        passes(own, chosen) && (points.length === 0 || points.some((one) => passes(one, chosen)))
          ? []
          : [i]
      ),
    );
    hidden.points = new Map(
      series.map(({ points }, i) => [
        i,
        new Set(points.flatMap((one, at) => passes(one, chosen) ? [] : [at])),
      ]),
    );
    const empty = series.length > 0 && hidden.filtered.size === series.length;
    const heads = figure.closest(".hero") !== null;
    if (empty && heads) {
      // The chart of the headline stays, as the headline does.
      hidden.filtered = new Set();
      hidden.points = new Map();
    }
    showAsHidden(figure, series.length);
    figure.hidden = empty && !heads;
    if (heads) sayUnfiltered(figure, empty);
  }
  for (const { box, rows } of tables) {
    for (const { row, values } of rows) row.hidden = !passes(values, chosen);
    box.hidden = rows.length > 0 && rows.every(({ row }) => row.hidden);
  }
  for (const { part, values } of parts) part.hidden = !passes(values, chosen);
}

/** Says below the chart of the headline that it shows the whole run, or no longer. */
function sayUnfiltered(figure: HTMLElement, unfiltered: boolean): void {
  const note = figure.parentElement!.querySelector(":scope > .no-match");
  if (!unfiltered) note?.remove();
  else if (note === null) {
    figure.after(Object.assign(document.createElement("p"), {
      className: "no-match",
      textContent: "Nothing in this chart matches the filters: it shows the whole run.",
    }));
  }
}

/** Folds sections of which nothing passes to their headings; returns what there is to say of it. */
function foldEmpty({ figures, tables }: Filtered): string {
  const found = [
    ...figures.filter(({ figure, series }) => series.length > 0 && figure.closest(".hero") === null)
      .map(({ figure }) => figure),
    ...tables.filter(({ rows }) => rows.some(({ values }) => Object.keys(values).length > 0))
      .map(({ box }) => box),
  ];
  const sections = Map.groupBy(found, (one) => one.closest("main section"));
  let folded = 0;
  for (const [section, own] of sections) {
    if (section === null) continue;
    // What a folded part or table holds shows when it opens.
    const empty = own.every((one) => one.closest("[hidden]") !== null) && !hasPacked(section);
    folded += Number(empty);
    section.classList.toggle("unmatched", empty);
    const note = section.querySelector(":scope > .no-match");
    if (empty && note === null) {
      section.append(Object.assign(document.createElement("p"), {
        className: "no-match",
        textContent: "Nothing here matches the filters.",
      }));
    } else if (!empty) note?.remove();
  }
  if (found.every((one) => one.closest("[hidden]") !== null) && !hasPacked(document)) {
    return "Nothing matches.";
  }
  return folded === 0
    ? "Headings and claims are of the whole run."
    : `${folded === 1 ? "1 section has" : `${folded} sections have`} no match. ` +
      "Headings and claims are of the whole run.";
}

/** Puts what is chosen into the address, beside whatever else is there. */
function writeAddress(): void {
  const url = new URL(location.href);
  for (const facet of FACETS) {
    const value = chosen[facet];
    if (value === undefined) url.searchParams.delete(PARAMETER + facet);
    else url.searchParams.set(PARAMETER + facet, value);
  }
  if (url.search === location.search) return;
  try {
    history.replaceState(history.state, "", url);
  } catch {
    // Some browsers keep the address of a page from disk as it is.
  }
}
