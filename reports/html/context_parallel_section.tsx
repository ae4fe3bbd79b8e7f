/**
 * The context cut into shards: how that changes the selection, and what each ring step costs.
 *
 * @module
 */
import { powerLimitText } from "../data/device_readings.ts";
import type { Result } from "../../suites/result/result_schema.ts";
import {
  imbalance,
  type ShardedCase,
  shardedCases,
  workRatio,
} from "../data/context_parallel_data.ts";
import {
  ABSENT,
  formatBytes,
  formatContext,
  formatCount,
  formatRatio,
  formatSeconds,
  formatSignificant,
} from "../text/format.ts";
import { DotPlot, dotPlotHeight, type DotRow } from "../charts/bar_plot.tsx";
import { finite } from "../charts/chart_data.ts";
import { Figure, Table } from "../charts/figure.tsx";
import { cycledStyles } from "../charts/palette.ts";
import { formatTick, type Section, Spread } from "./section.tsx";
import { largest } from "../data/extremes.ts";

/** The section, or null if the result has no data for it. */
export function contextParallelSection(result: Result, prefix: string): Section | null {
  const cases = shardedCases(result);
  if (cases.length === 0) return null;
  const partitions = [...new Set(cases.map(({ sharded }) => sharded.partition))];
  const styles = cycledStyles(2);
  const marks = new Map(partitions.map((partition, i) => [partition, styles[i % 2]]));
  const scorers = new Set(cases.map(({ record }) => record.implementation)).size;
  const name = ({ record, sharded }: ShardedCase) =>
    `${scorers > 1 ? `${record.implementation.replace(/^lighthouse-/, "")}, ` : ""}` +
    `W = ${sharded.shards}, ${sharded.partition}`;
  const rows = cases.map((one): DotRow => {
    // If shares could not be timed separately, their numbers of pairs are used instead.
    const value = one.ring ? one.ring.criticalSeconds / one.ring.evenSeconds : workRatio(one);
    return {
      label: name(one),
      value,
      text: formatRatio(value),
      style: marks.get(one.sharded.partition)!,
    };
  });
  const timed = cases.every(({ ring }) => ring !== null);
  const same = cases.every(({ sharded }) => sharded.selection.jaccard === 1);
  const { context } = cases[0].record.shape;
  return {
    id: `${prefix}context-parallel`,
    nav: "Shards",
    content: (
      <Spread
        title={same
          ? `Cut into shards, the context keeps its selection`
          : `Cut into shards, the context is selected from differently`}
        figure={
          <>
            <Figure
              id={`${prefix}context-parallel-figure`}
              title={`Ring attention at ${
                formatContext(context)
              }: waiting for the slowest shard, against even work`}
              description={rows.map(({ label, text }) => `${label}: ${text}`).join(", ") + "."}
              height={dotPlotHeight(rows.length)}
              compactHeight={dotPlotHeight(rows.length)}
              draw={(size) => (
                <DotPlot
                  size={size}
                  rows={rows}
                  axis={timed
                    ? "slowest shard of each step, summed ÷ even share"
                    : "most work of a shard in each step, summed ÷ even share"}
                  format={formatTick(formatRatio)}
                  guide={{ value: 1, label: "even work" }}
                />
              )}
              note="A simulation on one device: the shares of all shards run one after the other and each is timed. Nothing is exchanged; the bytes are what each shard would pass on."
              data={{
                columns: [
                  "implementation",
                  "context_tokens",
                  "shards",
                  "partition",
                  "part_k",
                  "jaccard",
                  "uncovered_rows",
                  "unsharded_uncovered_rows",
                  "together_seconds",
                  "slowest_seconds",
                  "even_seconds",
                  "work_ratio",
                  "exchanged_bytes",
                ],
                rows: cases.map((one) => [
                  one.record.implementation,
                  one.record.shape.context,
                  one.sharded.shards,
                  one.sharded.partition,
                  one.sharded.partK,
                  finite(one.sharded.selection.jaccard),
                  one.sharded.uncoveredRows,
                  one.sharded.unshardedUncoveredRows,
                  finite(one.record.statistic.median),
                  finite(one.ring?.criticalSeconds),
                  finite(one.ring?.evenSeconds),
                  finite(workRatio(one)),
                  finite(one.exchangedBytes),
                ]),
              }}
              table={{
                caption: "Shards",
                columns: [
                  { title: "Shards and partition" },
                  { title: "k of a part", numeric: true },
                  { title: "Jaccard with no shards", numeric: true },
                  { title: "Rows without contributor (no shards)", numeric: true },
                  { title: "All shards together", numeric: true },
                  { title: "÷ in one piece", numeric: true },
                  { title: "Slowest shards, summed", numeric: true },
                  { title: "Even share", numeric: true },
                  { title: "Passed on by each shard", numeric: true },
                ],
                rows: cases.map((one) => [
                  name(one),
                  formatCount(one.sharded.partK),
                  formatSignificant(one.sharded.selection.jaccard),
                  `${formatCount(one.sharded.uncoveredRows)} (${
                    formatCount(one.sharded.unshardedUncoveredRows)
                  })`,
                  formatSeconds(one.record.statistic.median) + powerLimitText(one.record),
                  one.overhead === null ? ABSENT : formatRatio(one.overhead),
                  one.ring === null ? ABSENT : formatSeconds(one.ring.criticalSeconds),
                  one.ring === null ? ABSENT : formatSeconds(one.ring.evenSeconds),
                  formatBytes(one.exchangedBytes),
                ]),
              }}
            />
            <details class="data">
              <summary>Every ring step</summary>
              <Table
                caption="Ring steps: step t pairs each shard's queries with the keys of the shard t places before it"
                columns={[
                  { title: "Shards and partition" },
                  { title: "Step", numeric: true },
                  { title: "Each shard" },
                  { title: "Slowest", numeric: true },
                  { title: "Passed on by each shard", numeric: true },
                ]}
                rows={cases.flatMap((one) =>
                  one.sharded.steps.map(({ shardSeconds, bytes }, step) => [
                    name(one),
                    String(step),
                    shardSeconds.map((seconds) => seconds === 0 ? "idle" : formatSeconds(seconds))
                      .join(", "),
                    shardSeconds.length === 0 ? ABSENT : formatSeconds(largest(shardSeconds)),
                    formatBytes(bytes),
                  ])
                )}
              />
            </details>
          </>
        }
      >
        {partitions.map((partition) => {
          const own = cases.filter(({ sharded }) => sharded.partition === partition);
          const most = own.reduce((a, b) => b.sharded.shards >= a.sharded.shards ? b : a);
          return (
            <p>
              <span class="figure-number">{formatRatio(imbalance(most.sharded))}</span>
              <span class="figure-label">
                most work of a shard over the mean, {partition}, {most.sharded.shards} shards
              </span>
            </p>
          );
        })}
        <p>
          Each part selects independently with its share of k. Where parts end at tile boundaries
          the norm scorer chooses the same entries as without shards, because selection works tile
          by tile; what an entry adds past the end of its part is lost, so the first rows of every
          part can stay without a contributor.
        </p>
      </Spread>
    ),
  };
}
