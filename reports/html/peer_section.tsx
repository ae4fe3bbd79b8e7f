/**
 * Other people's implementations on the same device, timed in the same rounds.
 *
 * @module
 */
import { headsText } from "../data/head_counts.ts";
import type { JSX } from "preact";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { DIRECTION_NAMES, DIRECTION_ORDER, isMeasured } from "../data/analysis.ts";
import {
  ABSENT,
  formatContext,
  formatFlopRate,
  formatMeasured,
  formatRatio,
  formatSeconds,
} from "../text/format.ts";
import { powerLimitText } from "../data/device_readings.ts";
import { peerLabel, type PeerRow, peerRows } from "../data/peer_data.ts";
import { plotData } from "../charts/chart_data.ts";
import { Figure, Table } from "../charts/figure.tsx";
import { logDomain, LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import { plotStyles } from "../charts/palette.ts";
import { capital, contextAxis, describe, formatTick, type Section } from "./section.tsx";

/** The section, or null if the result has no data for it. */
export function peerSection(result: Result, prefix: string): Section | null {
  const rows = peerRows(result);
  const absent = (result.peers ?? []).filter(({ unavailable }) => unavailable !== undefined);
  if (rows.length === 0 && absent.length === 0) return null;
  return {
    id: `${prefix}peers`,
    nav: "Peers",
    content: (
      <>
        <h2>Other implementations on the same device</h2>
        {DIRECTION_ORDER.map((direction) => (
          <PeerFigure
            id={`${prefix}peers-figure-${direction}`}
            direction={direction}
            rows={rows.filter(({ record }) => record.direction === direction)}
            result={result}
          />
        ))}
        {rows.length > 0 && (
          <Table
            caption="Peers"
            columns={[
              { title: "Peer" },
              { title: "Context", numeric: true },
              { title: "Layer" },
              { title: "Its median", numeric: true },
              { title: "It achieves", numeric: true },
              { title: "Ours" },
              { title: "Our median", numeric: true },
              { title: "Its time ÷ ours", numeric: true },
            ]}
            rows={rows.map((row) => {
              const { record, ours } = row;
              const shown = isMeasured(record);
              return [
                peerLabel(result, row.peer),
                formatContext(record.shape.context),
                layerText(record),
                shown
                  ? formatSeconds(record.statistic.median) + powerLimitText(record)
                  : record.status,
                shown && record.flops > 0
                  ? formatFlopRate(record.flops / record.statistic.median)
                  : ABSENT,
                ours?.implementation ?? ABSENT,
                ours && isMeasured(ours)
                  ? formatSeconds(ours.statistic.median) + powerLimitText(ours)
                  : ABSENT,
                ratioText(row),
              ];
            })}
          />
        )}
        {absent.length > 0 && (
          <Table
            caption="Peers that could not run"
            columns={[{ title: "Peer" }, { title: "Reason" }]}
            rows={absent.map(({ asked, unavailable }) => [asked, unavailable])}
          />
        )}
        <p>
          Same inputs, bit for bit, and the same checks, with four times our tolerance. Times of a
          peer in CUDA are between CUDA events and hold what its host code adds between kernels.
        </p>
      </>
    ),
  };
}

/** A peer's time over ours in words. */
export function ratioText({ ratio }: PeerRow): string {
  if (ratio === null) return ABSENT;
  return ratio.spread === null
    ? `${formatRatio(ratio.ratio)} (medians, not interleaved)`
    : formatMeasured(ratio.ratio, ratio.spread, formatRatio);
}

function layerText({ direction, shape, options }: CaseRecord): string {
  const parts = [direction, headsText(shape), `d = ${shape.headDim}`, shape.dtype];
  if (options) {
    parts.push(`L = ${options.levels}`, `p = ${options.pooling}`, `k = ${options.k}`);
  }
  return parts.join(", ");
}

function PeerFigure(
  { id, direction, rows, result }: {
    id: string;
    direction: CaseRecord["direction"];
    rows: readonly PeerRow[];
    result: Result;
  },
): JSX.Element | null {
  const timed = rows.filter(({ ratio }) => ratio !== null);
  const peers = [...new Set(timed.map(({ peer }) => peer))];
  const contexts = timed.map(({ record }) => record.shape.context);
  if (new Set(contexts).size < 2) return null;
  const styles = plotStyles(peers, result);
  const plot: PlotSeries[] = peers.map((peer, i) => {
    const own = new Map<number, PeerRow>();
    for (const row of timed) {
      const { context } = row.record.shape;
      if (row.peer === peer && !own.has(context)) own.set(context, row);
    }
    return {
      ...styles[i],
      label: peer,
      points: [...own].sort(([a], [b]) => a - b).map(([x, { ratio, record }]) => {
        const [low, high] = ratio!.interval ?? [ratio!.ratio, ratio!.ratio];
        const { count, kind } = ratio!.spread ?? {};
        return { x, y: ratio!.ratio, low, high, count, kind, case: record.id };
      }),
    };
  });
  const x = contextAxis(contexts);
  const all = plot.flatMap(({ points }) =>
    points.flatMap(({ y, low = y, high = y }) => [low, high])
  );
  const title = `${capital(DIRECTION_NAMES[direction])}: their time over ours against context`;
  return (
    <Figure
      id={id}
      title={title}
      description={describe(plot, formatRatio)}
      draw={(size) => (
        <LogPlot
          size={size}
          x={x}
          y={{
            label: "peer's time ÷ our time",
            domain: logDomain([...all, 0.9, 1.1], 1.3),
            format: formatTick(formatRatio),
            base: 10,
          }}
          series={plot}
          guides={[{
            label: "as fast as ours",
            points: [[x.domain[0], 1], [x.domain[1], 1]],
            strong: true,
            anchor: "end",
          }]}
          labelRoom={130}
        />
      )}
      legend={plot}
      note="Above the line ours is faster. Lighthouse peers are compared with our layer of the same scorer and geometry, others with our dense attention."
      data={plotData(plot, { x: "context_tokens", y: "peer_seconds_over_ours" })}
      table={{
        caption: title,
        columns: [
          { title: "Context", numeric: true },
          { title: "Peer" },
          { title: "Its time ÷ ours", numeric: true },
        ],
        rows: timed.map((row) => [
          formatContext(row.record.shape.context),
          peerLabel(result, row.peer),
          ratioText(row),
        ]),
      }}
    />
  );
}
