/**
 * Raw samples in the order of measuring.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { isMeasured } from "../data/analysis.ts";
import { ABSENT, formatPlural, formatRatio } from "../text/format.ts";
import { Table } from "../charts/figure.tsx";
import { sampleReach, SampleStrip } from "../charts/sample_strip.tsx";
import type { Section } from "./section.tsx";

/** The section, or null where the result has nothing for it. */
export function sampleSection(result: Result, prefix: string): Section | null {
  const sampled = result.cases.filter(({ samples }) => samples.length > 0);
  if (sampled.length === 0) return null;
  // Where charts link to: a case that was measured twice has one place.
  const firsts = new Set(
    new Map(sampled.toReversed().map((record) => [record.id, record])).values(),
  );
  const count = sampled.reduce((sum, { samples }) => sum + samples.length, 0);
  const reach = sampleReach(sampled.filter(isMeasured));
  return {
    id: `${prefix}samples`,
    nav: "Samples",
    content: (
      <div class="screen-only">
        <h2>Raw samples</h2>
        <details class="data">
          <summary>
            {formatPlural(count, "sample")} of {formatPlural(sampled.length, "case")}, in order
          </summary>
          <Table
            caption="GPU milliseconds of each execution in the order of measuring; * marks a sample that is kept but left out of the statistic"
            columns={[
              { title: "Case" },
              { title: `Samples ÷ median, ${formatRatio(1 / reach)} to ${formatRatio(reach)}` },
              { title: "Samples, ms" },
            ]}
            rows={sampled.map((record) => [
              <span id={firsts.has(record) ? `${prefix}${record.id}` : undefined}>{record.id}
              </span>,
              isMeasured(record) && record.statistic.median > 0
                ? <SampleStrip {...record} reach={reach} />
                : ABSENT,
              [...record.samples]
                .sort((a, b) => a.round - b.round || a.place - b.place)
                .map(({ seconds, flag }) =>
                  `${Number((seconds * 1e3).toPrecision(5))}${flag === undefined ? "" : "*"}`
                ).join("  "),
            ])}
          />
        </details>
      </div>
    ),
  };
}
