/**
 * Device memory of the cases: planned, measured, and the minimum that any implementation
 * needs.
 *
 * @module
 */
import { timesLayer } from "../data/cases.ts";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { DIRECTION_NAMES, DIRECTION_ORDER, isContextCase } from "../data/analysis.ts";
import { ABSENT, formatBytes, formatContext, formatRatio } from "../text/format.ts";
import { isPeer } from "../data/peer_data.ts";
import { finite } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { logDomain, LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import { plotStyles } from "../charts/palette.ts";
import { contextAxis, describe, formatTick, type Section, Spread } from "./section.tsx";
import { CaseName } from "./case_name.tsx";

/** The section, or null if the result has no data for it. */
export function memorySection(result: Result, prefix: string): Section | null {
  // A peer's memory cannot be planned: it is shown if it was measured.
  const planned = result.cases.filter((record) =>
    timesLayer(record) && record.peakBytes > 0 &&
    (!isPeer(record) || bytesOf(record, "measuredPeakBytes") !== null)
  );
  // A case that did not run uses no memory: only the table has its plan.
  const byContext = planned.filter((record) => isContextCase(record) && record.status === "ok");
  if (byContext.length === 0) return null;
  const groups = new Map<string, CaseRecord[]>();
  const taken = new Set<string>();
  const order = (record: CaseRecord) => DIRECTION_ORDER.indexOf(record.direction);
  for (const record of [...byContext].sort((a, b) => order(a) - order(b))) {
    const key = `${record.implementation} ${record.direction}`;
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    // Of several settings at one context the first is drawn; the table has them all.
    const place = `${key} ${record.shape.context}`;
    if (!taken.has(place)) group.push(record);
    taken.add(place);
  }
  const series = [...groups.values()];
  const several = new Set(series.map(([{ direction }]) => direction)).size > 1;
  const styles = plotStyles(series.map(([{ implementation }]) => implementation), result);
  const plot = series.map((records, i): PlotSeries => ({
    ...styles[i],
    label: records[0].implementation.replace(/^peer:/, "") +
      (several ? `, ${DIRECTION_NAMES[records[0].direction]}` : ""),
    points: records
      .map((record) => ({ x: record.shape.context, y: heldBytes(record), case: record.id }))
      .sort((a, b) => a.x - b.x),
  }));
  const x = contextAxis(byContext.map(({ shape }) => shape.context));
  const memory = result.environment.deviceMemoryBytes;
  const all = plot.flatMap(({ points }) => points.map(({ y }) => y));
  const ours = byContext.filter((record) => !isPeer(record));
  const largest = (ours.length > 0 ? ours : byContext)
    .reduce((a, b) => heldBytes(b) > heldBytes(a) ? b : a);
  const measured = planned.filter((record) =>
    !isPeer(record) && record.peakBytes > 0 && bytesOf(record, "measuredPeakBytes") !== null
  );
  const worst = measured.reduce(
    (most, record) =>
      Math.max(most, Math.abs(bytesOf(record, "measuredPeakBytes")! / record.peakBytes - 1)),
    0,
  );
  const withPeers = ours.length > 0 && ours.length < byContext.length;
  return {
    id: `${prefix}memory`,
    nav: "Memory",
    content: (
      <Spread
        title={`The largest case ${withPeers ? "of ours " : ""}that ran holds ${
          formatBytes(heldBytes(largest))
        }`}
        figure={
          <Figure
            id={`${prefix}memory-figure`}
            title="Device memory held by one layer against context"
            description={describe(plot, formatBytes)}
            height={390}
            draw={(size) => (
              <LogPlot
                size={size}
                x={x}
                y={{
                  label: "bytes of buffers",
                  domain: logDomain(memory === null ? all : [...all, memory], 1.5),
                  format: formatTick(formatBytes),
                  base: 2,
                }}
                series={plot}
                guides={memory === null ? [] : [{
                  label: `device memory, ${formatBytes(memory)}`,
                  points: [[x.domain[0], memory], [x.domain[1], memory]],
                  strong: true,
                }]}
                labelRoom={150}
              />
            )}
            legend={plot}
            note="Measured where the run counted its allocations, else planned. Inputs and outputs are included."
            data={{
              columns: [
                "case",
                "state",
                "context_tokens",
                "planned_bytes",
                "measured_bytes",
                "inputs_and_outputs_bytes",
              ],
              rows: planned.map((record) => [
                record.id,
                record.status,
                record.shape.context,
                isPeer(record) ? null : record.peakBytes,
                finite(bytesOf(record, "measuredPeakBytes")),
                finite(bytesOf(record, "leastBytes")),
              ]),
            }}
            table={{
              caption: "Device memory of every case",
              columns: [
                { title: "Case" },
                { title: "State" },
                { title: "Context", numeric: true },
                { title: "Planned", numeric: true },
                { title: "Measured", numeric: true },
                { title: "Inputs and outputs", numeric: true },
                { title: "Planned ÷ least", numeric: true },
              ],
              rows: planned.map((record) => {
                const least = bytesOf(record, "leastBytes");
                const have = bytesOf(record, "measuredPeakBytes");
                return [
                  <CaseName record={record} />,
                  record.status === "ok" ? "ran" : record.status,
                  formatContext(record.shape.context),
                  isPeer(record) ? ABSENT : formatBytes(record.peakBytes),
                  have === null ? ABSENT : formatBytes(have),
                  least === null ? ABSENT : formatBytes(least),
                  least === null || isPeer(record) ? ABSENT : formatRatio(record.peakBytes / least),
                ];
              }),
            }}
          />
        }
      >
        <p>
          <span class="figure-number">{formatBytes(heldBytes(largest))}</span>
          <span class="figure-label">
            {largest.implementation}, {DIRECTION_NAMES[largest.direction]}, at{" "}
            {formatContext(largest.shape.context)}
          </span>
        </p>
        {measured.length > 0 && (
          <p>
            {worst < 0.005
              ? "What was allocated is what was planned, to within half a percent."
              : `What was allocated differs from the plan by up to ${
                (100 * worst).toPrecision(2)
              } %.`}
          </p>
        )}
        <p>
          The least is what any implementation needs: inputs and outputs of the direction, nothing
          between.
        </p>
      </Spread>
    ),
  };
}

/** Measured bytes, else planned ones. */
function heldBytes(record: CaseRecord): number {
  return bytesOf(record, "measuredPeakBytes") ?? record.peakBytes;
}

function bytesOf(record: CaseRecord, name: "measuredPeakBytes" | "leastBytes"): number | null {
  const value: unknown = record[name];
  return typeof value === "number" && value > 0 ? value : null;
}
