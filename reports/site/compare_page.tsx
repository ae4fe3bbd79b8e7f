/**
 * Any two runs of a site together: the page compares the reader's choice; without
 * its script there are the comparisons made in advance.
 *
 * @module
 */
import type { JSX } from "preact";
import clientFile from "./compare_client.generated.js" with { type: "text" };
import { DEFAULTS } from "../gate/gate_config.ts";
import { formatPlural } from "../text/format.ts";
import { PairTable } from "./pair_table.tsx";
import type { RunPair } from "./pairs.ts";
import { countDevices, type Site, type SiteRun } from "./runs.ts";
import { type SiteFile, sitePage } from "./site_page.tsx";

/** Browsers hash a script after converting its line ends. */
const client = clientFile.replaceAll("\r\n", "\n");

const COLUMNS = [
  { title: "Case", sort: "case" },
  { title: "A", sort: "a", numeric: true },
  { title: "B", sort: "b", numeric: true },
  { title: "B ÷ A", sort: "change", numeric: true },
  { title: "Interval", numeric: true },
  { title: "Around 1" },
  { title: "Noise", numeric: true },
  { title: "Verdict", sort: "verdict" },
];

const FILTERS = ["suite", "implementation", "direction", "context"];

/** `compare/index.html`. */
export function comparePage(site: Site, pairs: readonly RunPair[]): SiteFile {
  const within = pairs.filter(({ kind }) => kind !== "devices")
    .sort((a, b) => b.after.time - a.after.time || b.before.time - a.before.time);
  const first = firstPair(site, within);
  const settings = JSON.stringify({
    thresholds: DEFAULTS,
    first: first.map(({ slug }) => slug),
  });
  return sitePage({
    path: "compare/index.html",
    entry: "Compare",
    heading: "Any two runs, case by case.",
    title: "Compare any two runs",
    facts: [formatPlural(site.runs.length, "run"), countDevices(site.devices)],
    children: (
      <>
        <section id="compare">
          <h2 class="visually-hidden">Two runs of your choice</h2>
          <div id="compare-controls" class="choose" hidden>
            <RunChoice id="compare-a" label="A, the run before" site={site} chosen={first[0]} />
            <button type="button" id="compare-swap">Swap</button>
            <RunChoice id="compare-b" label="B, the run after" site={site} chosen={first[1]} />
          </div>
          <p id="compare-unscripted">
            Choosing two runs takes this page’s script. Without it there are the comparisons below,
            each on a page of its own.
          </p>
          <p id="compare-status" role="status"></p>
          <p id="compare-reports" class="source" hidden>
            The reports of both: <a id="compare-report-a" href="../index.html">A</a>,{" "}
            <a id="compare-report-b" href="../index.html">B</a>.
          </p>
          <div id="compare-result" hidden>
            <div class="choices">
              {FILTERS.map((name) => (
                <label>
                  {name}
                  <select id={`compare-${name}`}>
                    <option value="">all</option>
                  </select>
                </label>
              ))}
              <label class="check">
                <input type="checkbox" id="compare-changed" />
                only changes beyond noise
              </label>
              <span class="count" id="compare-count"></span>
            </div>
            <p class="sum" id="compare-summary" aria-live="polite"></p>
            <div class="scroll" tabIndex={0} role="group" aria-label="Cases of both runs">
              <table id="compare-table">
                <caption class="visually-hidden">Times of both runs, case by case</caption>
                <thead>
                  <tr>
                    {COLUMNS.map(({ title, sort, numeric }) => (
                      <th scope="col" class={numeric ? "number" : undefined}>
                        {sort === undefined
                          ? title
                          : <button type="button" data-sort={sort}>{title}</button>}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody></tbody>
              </table>
            </div>
            <button type="button" id="compare-more" hidden></button>
          </div>
          <p class="source">
            Judged as by <code>deno task gate</code>{" "}
            on two files: a change counts where its interval, noise between runs included, leaves 1
            and is more than 2 %; the interval holds for all cases together at 99 %. No change above
            10 % means that a narrower interval, of each case alone at 95 %, rules such a change
            out; what neither tells is undecided. Without earlier runs of the same code the noise is
            what cases of both runs show, or assumed. Runs of different devices, stacks, drivers or
            clocks are not judged. The address of this page keeps what you chose.
          </p>
        </section>
        {within.length > 0 && (
          <section id="run-pairs">
            <h2>Each run against the one before it that measured the same</h2>
            <PairTable pairs={within} path="compare/index.html" caption="Pairs, newest first" />
          </section>
        )}
      </>
    ),
    tail: [`<script type="application/json" id="compare-settings">${settings}</script>`],
    loader: client,
  });
}

function RunChoice(
  { id, label, site, chosen }: { id: string; label: string; site: Site; chosen: SiteRun },
): JSX.Element {
  const texts = optionTexts(site.runs);
  return (
    <label>
      {label}
      <select id={id}>
        {site.devices.map(({ name, stack, runs }) => (
          <optgroup label={`${name}, ${stack}`}>
            {runs.toReversed().map((run) => (
              <option value={run.slug} selected={run === chosen}>
                {texts.get(run)}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
    </label>
  );
}

/** What tells each run in a list: its second, then its number, where the minute does not. */
export function optionTexts(runs: readonly SiteRun[]): Map<SiteRun, string> {
  const text = (date: string, { commit, result }: SiteRun) =>
    `${date}, ${commit}, ${result.profile}`;
  const texts = new Map<SiteRun, string>();
  for (const alike of Map.groupBy(runs, (run) => text(run.date, run)).values()) {
    const seconds = alike.map(({ time }) =>
      new Date(time).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC")
    );
    const apart = new Set(seconds).size === alike.length;
    alike.forEach((run, i) =>
      texts.set(
        run,
        alike.length === 1
          ? text(run.date, run)
          : `${text(seconds[i], run)}${apart ? "" : `, number ${i + 1}`}`,
      )
    );
  }
  return texts;
}

/** The newest pair that can be compared; else the two newest runs. */
function firstPair({ runs }: Site, pairs: readonly RunPair[]): [SiteRun, SiteRun] {
  const pair = pairs.find(({ kind, report }) =>
    kind === "consecutive" && report !== null && report.outcome !== "not comparable"
  );
  if (pair !== undefined) return [pair.before, pair.after];
  return [runs[Math.max(0, runs.length - 2)], runs[runs.length - 1]];
}
