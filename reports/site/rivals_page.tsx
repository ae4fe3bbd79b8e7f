/**
 * Lighthouse beside its rivals: the newest run of each device that timed them or searched needles with them.
 *
 * @module
 */
import { hasRivals, RivalsContent } from "../html/rivals_section.tsx";
import { formatPlural } from "../text/format.ts";
import { deviceText, type Site, type SiteRun } from "./runs.ts";
import { RunLink, type SiteFile, sitePage } from "./site_page.tsx";

/** Devices that are shown in whole; further runs are linked. */
const MOST_SHOWN = 4;

/** The command that measures what the page shows. */
const COMMAND = "deno task bench --profile rivals";

/** `rivals/index.html`. */
export function rivalsPage({ devices, runs }: Site): SiteFile {
  const path = "rivals/index.html";
  const found = devices.flatMap((device) => {
    const run = device.runs.findLast(({ result }) => hasRivals(result));
    return run ? [{ device, run }] : [];
  });
  const shown = found.slice(0, MOST_SHOWN);
  const others = runs.filter((run) =>
    hasRivals(run.result) && !shown.some((one) => one.run === run)
  );
  return sitePage({
    path,
    entry: "Rivals",
    heading: shown.length === 0
      ? "No run has measured the rivals yet."
      : "Lighthouse beside its rivals.",
    title: "Lighthouse beside its rivals",
    facts: shown.map(({ device }) => deviceText(device)),
    children: (
      <>
        {shown.map(({ device, run }, i) => (
          <section id={`device-${i + 1}`}>
            <h2>{deviceText(device)}</h2>
            <p class="lead">
              Run of <RunLink run={run} path={path} />
            </p>
            <RivalsContent result={run.result} prefix={`device-${i + 1}-`} level={null} />
          </section>
        ))}
        <section id="more">
          <h2>{shown.length === 0 ? "How to measure them" : "Further runs"}</h2>
          {others.length > 0 && <OtherRuns runs={others} path={path} />}
          <details class="rerun" open>
            <summary>Run it yourself</summary>
            <code>{COMMAND}</code>
          </details>
        </section>
      </>
    ),
  });
}

function OtherRuns({ runs, path }: { runs: readonly SiteRun[]; path: string }) {
  return (
    <>
      <p>{formatPlural(runs.length, "older run")} with times or needles of the rivals:</p>
      <ul>
        {runs.map((run) => (
          <li>
            <RunLink run={run} path={path} /> {deviceText(run.device)}
          </li>
        ))}
      </ul>
    </>
  );
}
