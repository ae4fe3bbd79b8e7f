/**
 * Comparison of devices.
 *
 * @module
 */
import { Table } from "../charts/figure.tsx";
import { largest, smallest } from "../data/extremes.ts";
import { Comparison, runName } from "../html/comparison_section.tsx";
import { longestCommonContext, normSpeedups } from "../html/speedup_section.tsx";
import { formatContext, formatInterval, formatRatio } from "../text/format.ts";
import { MOST_DEVICES, type RunPair } from "./pairs.ts";
import { PairTable } from "./pair_table.tsx";
import { countDevices, deviceText, leadRun, type Site, type SiteRun } from "./runs.ts";
import { summarizeRun } from "./run_summary.ts";
import { relative, reportPath, RunLink, type SiteFile, sitePage } from "./site_page.tsx";
import { SpeedupFigure } from "./speedup_figure.tsx";
import { trendPath } from "./trend_pages.tsx";

/** `devices/index.html`. */
export function devicesPage(site: Site, pairs: readonly RunPair[]): SiteFile {
  const path = "devices/index.html";
  const devices = site.devices.slice(0, MOST_DEVICES);
  const leads = devices.map(leadRun);
  const results = leads.map(({ result }) => result);
  const across = pairs.filter(({ kind }) => kind === "devices");
  const doubts = [...new Set(site.devices.flatMap(({ doubt }) => doubt ?? []))];
  const figure = SpeedupFigure({
    id: "device-speedup-figure",
    path,
    devices: devices.map((device) => ({ device })),
    all: site.devices,
  });
  return sitePage({
    path,
    entry: "Devices",
    heading: headline(site, leads),
    title: "Devices",
    facts: devices.map(({ name, stack }, i) => `${runName(i)}: ${name}, ${stack}`),
    children: (
      <>
        {figure !== null && (
          <section id="speed-ups">
            <h2>Ratios carry over between devices, times do not</h2>
            <div class="hero">{figure}</div>
          </section>
        )}
        <section id="devices">
          <h2>Devices and stacks</h2>
          <Table
            caption="One card under two stacks is one device; its stacks are measured apart"
            columns={[
              { title: "Device" },
              { title: "Stack" },
              { title: "Driver, newest run" },
              { title: "Runs", numeric: true },
              { title: "The run that stands for it" },
              { title: "What it found" },
            ]}
            rows={site.devices.map((device) => {
              const lead = leadRun(device);
              const newest = device.runs[device.runs.length - 1];
              return [
                <a href={relative(path, trendPath(device))}>{deviceText(device)}</a>,
                device.stack,
                newest.result.environment.driver ?? "not known",
                String(device.runs.length),
                <RunLink run={lead} path={path} />,
                summarizeRun(lead.result).found,
              ];
            })}
          />
          {doubts.map((doubt) => (
            <p class="source">A device is told by its model and machine where {doubt}.</p>
          ))}
        </section>
        <Comparison
          results={results}
          hrefs={leads.map((run) => relative(path, reportPath(run)))}
        />
        {across.length > 0 && (
          <section id="device-pairs">
            <h2>Device against device</h2>
            <PairTable pairs={across} path={path} caption="Pairs of devices" />
          </section>
        )}
      </>
    ),
  });
}

/** The range of speed-ups at the longest common context, else the list of devices. */
function headline({ devices }: Site, leads: readonly SiteRun[]): string {
  if (devices.length === 1) return `One device so far: ${devices[0].name}.`;
  const context = longestCommonContext(leads.map(({ result }) => result));
  if (context === null) return `${countDevices(devices)} side by side.`;
  const points = leads.map(({ result }) =>
    normSpeedups(result).find((point) => point.context === context)!
  );
  const ratios = points.map(({ ratio }) => ratio);
  const range = formatInterval([smallest(ratios), largest(ratios)], formatRatio);
  const few = points.filter(({ kind }) => kind === "range").map(({ count }) => count);
  const resting = few.length === 0 ? "" : `, with n = ${smallest(few)} at the least`;
  return `${range} over dense attention at ${formatContext(context)}, on ${
    countDevices(devices)
  }${resting}.`;
}
