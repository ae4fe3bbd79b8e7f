/**
 * The speed-up over dense attention of every device, with the paper's point.
 *
 * @module
 */
import type { JSX } from "preact";
import { FLOP_RATIO, HEADLINE_CONTEXT, PAPER_HARDWARE, PAPER_SPEEDUP } from "../claims/claims.ts";
import type { SpeedupPoint } from "../data/analysis.ts";
import {
  formatContext,
  formatCount,
  formatRatio,
  formatSpread,
  SPREAD_TITLE,
} from "../text/format.ts";
import { finite } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { logDomain, LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import { runStyles } from "../charts/palette.ts";
import {
  contextAxis,
  contextPoint,
  describe,
  formatTick,
  paperMark,
  parityGuide,
} from "../html/section.tsx";
import { normSpeedups } from "../html/speedup_section.tsx";
import { deviceText, leadRun, shorten, type SiteDevice, type SiteRun } from "./runs.ts";
import { relative, reportPath, RunLink } from "./site_page.tsx";

/** Devices of the figure. */
const MOST_CURVES = 6;
/** Runs of one device that may be drawn together at the paper's context, the newest. */
const MOST_AT_HEADLINE = 4;

/** One point with the run that it comes from. */
interface RunPoint {
  readonly run: SiteRun;
  readonly point: SpeedupPoint;
}

/** The speed-ups of a device: those of the run that represents it, and additions from others. */
interface DeviceSpeedups {
  readonly device: SiteDevice;
  readonly label: string;
  readonly lead: readonly RunPoint[];
  /** At contexts that the lead lacks, and at the paper's, where each has a verdict. */
  readonly others: readonly RunPoint[];
}

/**
 * Forward speed-ups of the norm scorer on a device. A device that has its long contexts from another
 * run than the short ones shows both.
 */
export function deviceSpeedups(device: SiteDevice, label = deviceText(device)): DeviceSpeedups {
  const chosen = leadRun(device);
  const lead = normSpeedups(chosen.result).map((point) => ({ run: chosen, point }));
  const taken = new Set(lead.map(({ point }) => point.context));
  const others: RunPoint[] = [];
  let atHeadline = 0;
  for (const run of device.runs.toReversed()) {
    if (run === chosen) continue;
    for (const point of normSpeedups(run.result)) {
      const isHeadline = point.context === HEADLINE_CONTEXT;
      if (isHeadline ? atHeadline++ >= MOST_AT_HEADLINE : taken.has(point.context)) continue;
      taken.add(point.context);
      others.push({ run, point });
    }
  }
  return { device, label, lead, others };
}

/** The figure; null where no run has a speed-up. `path` is that of the page. */
export function SpeedupFigure(
  { id, path, devices, all }: {
    id: string;
    path: string;
    devices: readonly { device: SiteDevice; label?: string }[];
    /** Those of the site, in whose order a device has its mark in every figure. */
    all: readonly SiteDevice[];
  },
): JSX.Element | null {
  const found = devices.map(({ device, label }) => deviceSpeedups(device, label))
    .filter(({ lead, others }) => lead.length + others.length > 0).slice(0, MOST_CURVES);
  if (found.length === 0) return null;
  const own = runStyles(all.length);
  const styles = found.map(({ device }) => own[all.indexOf(device)]);
  const toPoints = (points: readonly RunPoint[]) =>
    points.map(({ run, point }) => ({
      ...contextPoint(point.ratio, point),
      href: relative(path, reportPath(run)),
    }));
  const curves = found.map(({ label, lead }, i): PlotSeries => ({
    label: shorten(label, 60),
    style: styles[i],
    dash: styles[i].dash,
    facets: { device: label },
    points: toPoints(lead),
  })).filter(({ points }) => points.length > 0);
  const single = found.map(({ label, others }, i): PlotSeries => ({
    label: `${shorten(label, 60)}, another run`,
    style: styles[i],
    facets: { device: label },
    points: toPoints(others),
    scatter: true,
    hollow: true,
  })).filter(({ points }) => points.length > 0);
  const plot = [...curves, ...single];
  const shown = plot.flatMap(({ points }) => points);
  const rows = found.flatMap(({ label, lead, others }) =>
    [...lead, ...others].map((one) => ({ label, ...one }))
  );
  const x = contextAxis([...shown.map((point) => point.x), HEADLINE_CONTEXT]);
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
            domain: logDomain([
              ...shown.flatMap(({ low, high }) => [low!, high!]),
              0.8,
              FLOP_RATIO,
            ]),
            format: formatTick(formatRatio),
            base: 10,
          }}
          series={plot}
          guides={[parityGuide(x)]}
          marks={[paperMark(PAPER_SPEEDUP.forward, { detail: "B200" })]}
          labelRoom={130}
        />
      )}
      legend={plot}
      note={
        <>
          Over this suite’s own dense kernel on the same device and stack, in interleaved rounds:
          the table says in how many.
          {single.length > 0
            ? " Hollow marks come from another run than the line: the table names each."
            : ""} The star is the paper’s value ({PAPER_HARDWARE}), not a measurement of these runs.
        </>
      }
      data={{
        columns: [
          "device",
          "stack",
          "run",
          "context_tokens",
          "speedup",
          "speedup_low",
          "speedup_high",
          "rounds",
        ],
        rows: found.flatMap(({ device, lead, others }) =>
          [...lead, ...others].map(({ run, point: { context, ratio, low, high, rounds } }) => [
            device.name,
            device.stack,
            run.slug,
            context,
            finite(ratio),
            finite(low),
            finite(high),
            rounds,
          ])
        ),
      }}
      table={{
        caption: "Speed-up over dense attention",
        columns: [
          { title: "Context", numeric: true },
          { title: "Device" },
          { title: "Run" },
          { title: "Speed-up", numeric: true },
          { title: SPREAD_TITLE, numeric: true },
          { title: "Rounds", numeric: true },
        ],
        rows: rows.map(({ label, run, point }) => [
          formatContext(point.context),
          label,
          <RunLink run={run} path={path} />,
          formatRatio(point.ratio),
          formatSpread(point, formatRatio),
          formatCount(point.rounds),
        ]),
      }}
    />
  );
}
