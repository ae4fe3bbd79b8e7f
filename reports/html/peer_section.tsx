/**
 * Other implementations on the same device.
 *
 * @module
 */
import type { CaseRecord, RatioRecord, Result } from "../../suites/result_schema.ts";
import { isMeasured } from "../analysis.ts";
import {
  ABSENT,
  formatContext,
  formatFlopRate,
  formatInterval,
  formatRatio,
  formatSeconds,
} from "../format.ts";
import { Table } from "./figure.tsx";
import type { Section } from "./section.tsx";

/** The section, or null where the result has nothing for it. */
export function peerSection(result: Result, prefix: string): Section | null {
  const peers = result.cases.filter(({ implementation }) => implementation.startsWith("peer:"));
  if (peers.length === 0) return null;
  const measured = result.cases.filter(isMeasured);
  const rows = peers.map((record) => {
    const dense = measured.find((other) =>
      other.implementation === "dense" && other.suite === record.suite &&
      other.direction === record.direction && other.shape.context === record.shape.context &&
      other.shape.heads === record.shape.heads && other.shape.headDim === record.shape.headDim
    );
    const interleaved = dense === undefined ? undefined : interleavedRatio(result, record, dense);
    const shown = isMeasured(record);
    const against = !shown || dense === undefined
      ? ABSENT
      : interleaved !== undefined
      ? `${formatRatio(interleaved.ratio)} (${
        formatInterval([interleaved.low, interleaved.high], formatRatio)
      })`
      : `${
        formatRatio(record.statistic.median / dense.statistic.median)
      } (medians, not interleaved)`;
    return [
      record.implementation.slice("peer:".length),
      formatContext(record.shape.context),
      `${record.direction}, H = ${record.shape.heads}, d = ${record.shape.headDim}, ${record.shape.dtype}`,
      shown ? formatSeconds(record.statistic.median) : record.status,
      shown && record.flops > 0 ? formatFlopRate(record.flops / record.statistic.median) : ABSENT,
      against,
    ];
  });
  return {
    id: `${prefix}peers`,
    nav: "Peers",
    content: (
      <>
        <h2>Other implementations on the same device</h2>
        <Table
          caption="Peers"
          columns={[
            { title: "Peer" },
            { title: "Context", numeric: true },
            { title: "Shape" },
            { title: "Median", numeric: true },
            { title: "Achieved", numeric: true },
            { title: "Time ÷ our dense time", numeric: true },
          ]}
          rows={rows}
        />
      </>
    ),
  };
}

/** Peer time over dense time from interleaved rounds, whichever of the two was the numerator. */
function interleavedRatio(
  result: Result,
  peer: CaseRecord,
  dense: CaseRecord,
): Pick<RatioRecord, "ratio" | "low" | "high"> | undefined {
  for (const { numerator, denominator, ratio, low, high } of result.ratios) {
    if (numerator === peer.id && denominator === dense.id) return { ratio, low, high };
    if (numerator === dense.id && denominator === peer.id) {
      return { ratio: 1 / ratio, low: 1 / high, high: 1 / low };
    }
  }
}
