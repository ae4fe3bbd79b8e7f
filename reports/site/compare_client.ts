/**
 * The script of the page that compares any two runs: the choice, from and to the address,
 * and the table. `deno task generate` bundles it into `compare_client.generated.js`.
 *
 * @module
 */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import { formatCount, formatPlural } from "../text/format.ts";
import { type PackedRun, unpackRun } from "./compare_chunk.ts";
import {
  type ComparedRun,
  type ComparedTime,
  compareRuns,
  type Thresholds,
} from "./compare_runs.ts";
import {
  drawTable,
  fillFilter,
  FILTERS,
  type Filters,
  filterTimes,
  sentenceOf,
  type SortKey,
  sortTimes,
  summaryOf,
} from "./compare_view.ts";

/** Data from the page for the script. */
interface Settings {
  readonly thresholds: Thresholds;
  /** Slugs of the runs that are compared at first. */
  readonly first: readonly [string, string];
}

/** Rows that are drawn at once. */
const MOST_ROWS = 300;

const byId = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const settings: Settings = JSON.parse(byId("compare-settings").textContent!);
const [selectA, selectB] = ["compare-a", "compare-b"].map((id) => byId<HTMLSelectElement>(id));
const status = byId("compare-status");
const filterBoxes = new Map(
  FILTERS.map((name) => [name, byId<HTMLSelectElement>(`compare-${name}`)]),
);
const changedOnly = byId<HTMLInputElement>("compare-changed");
const table = byId<HTMLTableElement>("compare-table");
const sortButtons = [...table.querySelectorAll<HTMLButtonElement>("button[data-sort]")];
const more = byId<HTMLButtonElement>("compare-more");

const arrived = new Map<string, (run: ComparedRun) => void>();
const loaded = new Map<string, Promise<ComparedRun>>();
let sort: { key: SortKey; down: boolean } = { key: "change", down: true };
let rows = MOST_ROWS;
/** Counts choices: data for an older one are not shown. */
let turn = 0;
let shown: readonly ComparedTime[] = [];
/** Whether the reader chose what is shown next, so that Back undoes it. */
let isChoice = false;

Object.assign(globalThis, {
  lighthouseRun: async (slug: string, base64: string) => {
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const packed: PackedRun = await new Response(stream).json();
    arrived.get(slug)?.(unpackRun(packed));
  },
});

/** A run's data; a script can be loaded from disk, where nothing else may. */
function load(slug: string): Promise<ComparedRun> {
  const found = loaded.get(slug);
  if (found) return found;
  const promise = new Promise<ComparedRun>((resolve, reject) => {
    arrived.set(slug, resolve);
    const script = document.createElement("script");
    script.src = `../data/${slug}.js`;
    script.onerror = () => reject(new Error(`the data of this run are not there: data/${slug}.js`));
    document.head.append(script);
  });
  promise.catch(() => loaded.delete(slug));
  loaded.set(slug, promise);
  return promise;
}

/** The address for sharing; a page from disk uses a hash. */
function readAddress(): URLSearchParams {
  return new URLSearchParams(location.hash.length > 1 ? location.hash.slice(1) : location.search);
}

function writeAddress(): void {
  const params = new URLSearchParams({ a: selectA.value, b: selectB.value });
  for (const [name, box] of filterBoxes) if (box.value !== "") params.set(name, box.value);
  if (changedOnly.checked) params.set("changed", "1");
  if (sort.key !== "change") params.set("sort", sort.key);
  const own = isChoice && String(params) !== String(readAddress());
  isChoice = false;
  const write = (address: string) =>
    own ? history.pushState(null, "", address) : history.replaceState(null, "", address);
  try {
    write(`${location.pathname}?${params}`);
  } catch {
    write(`#${params}`);
  }
}

function filters(): Filters {
  return {
    ...Object.fromEntries([...filterBoxes].map(([name, box]) => [name, box.value])),
    changedOnly: changedOnly.checked,
  } as Filters;
}

async function choose(wanted?: URLSearchParams): Promise<void> {
  const own = ++turn;
  const [a, b] = [selectA.value, selectB.value];
  if (a === b) return show([], "A and B are the same run: choose two.");
  status.textContent = "Reading both runs…";
  byId<HTMLAnchorElement>("compare-report-a").href = `../runs/${a}.html`;
  byId<HTMLAnchorElement>("compare-report-b").href = `../runs/${b}.html`;
  byId("compare-reports").hidden = false;
  try {
    const [before, after] = await Promise.all([load(a), load(b)]);
    if (own !== turn) return;
    const compared = compareRuns(before, after, settings.thresholds);
    for (const [name, box] of filterBoxes) {
      const kept = wanted === undefined ? box.value : wanted.get(name) ?? "";
      fillFilter(box, { name, times: compared.times, wanted: kept });
    }
    show(compared.times, sentenceOf(compared));
  } catch (error) {
    if (own === turn) show([], error instanceof Error ? error.message : String(error));
  }
}

function show(times: readonly ComparedTime[], sentence: string): void {
  shown = times;
  status.textContent = sentence;
  redraw();
}

function redraw(): void {
  const found = sortTimes(filterTimes(shown, filters()), sort);
  drawTable(table, { times: found.slice(0, rows), all: shown, sort });
  byId("compare-result").hidden = shown.length === 0;
  byId("compare-count").textContent = found.length === shown.length
    ? formatPlural(found.length, "case")
    : `${formatCount(found.length)} of ${formatPlural(shown.length, "case")}`;
  const summary = summaryOf(found);
  const place = byId("compare-summary");
  if (place.textContent !== summary) place.textContent = summary;
  more.hidden = found.length <= rows;
  more.textContent = `Show all ${formatCount(found.length)}`;
  writeAddress();
}

/** Shows what the address asks for. */
function open(): void {
  const wanted = readAddress();
  const values = new Set([...selectA.options].map(({ value }) => value));
  for (const [i, [name, box]] of ([["a", selectA], ["b", selectB]] as const).entries()) {
    const asked = wanted.get(name);
    box.value = asked !== null && values.has(asked) ? asked : settings.first[i];
  }
  changedOnly.checked = wanted.get("changed") === "1";
  const key = sortButtons.map(({ dataset }) => dataset.sort as SortKey)
    .find((one) => one === wanted.get("sort")) ?? "change";
  sort = { key, down: key !== "case" };
  isChoice = false;
  void choose(wanted);
}

function start(): void {
  const chooseAnew = () => {
    isChoice = true;
    void choose();
  };
  for (const box of [selectA, selectB]) box.onchange = chooseAnew;
  byId<HTMLButtonElement>("compare-swap").onclick = () => {
    [selectA.value, selectB.value] = [selectB.value, selectA.value];
    chooseAnew();
  };
  for (const box of [...filterBoxes.values(), changedOnly]) {
    box.onchange = () => {
      isChoice = true;
      rows = MOST_ROWS;
      redraw();
    };
  }
  more.onclick = () => {
    rows = Infinity;
    redraw();
    table.querySelector<HTMLElement>("thead button")?.focus();
  };
  for (const button of sortButtons) {
    const key = button.dataset.sort as SortKey;
    button.onclick = () => {
      sort = { key, down: sort.key === key ? !sort.down : key !== "case" };
      redraw();
    };
  }
  byId("compare-controls").hidden = false;
  byId("compare-unscripted").hidden = true;
  addEventListener("popstate", open);
  open();
}

start();
