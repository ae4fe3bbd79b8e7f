/**
 * A map of needles that a trained model finds: contexts across, depths down.
 *
 * @module
 */
import type { JSX } from "preact";
import { wilsonInterval } from "../../suites/statistics/intervals.ts";
import { ascending, rateOf } from "../data/retrieval_data.ts";
import { formatContext, formatCount, formatInterval, formatPercent } from "../text/format.ts";
import { Figure, type FigureProps } from "./figure.tsx";
import { RateMap } from "./rate_map.tsx";

/** Prompts of one context and depth, and how many were answered right. */
interface Answers {
  readonly context: number;
  readonly depth: number;
  readonly correct: number;
  readonly trials: number;
}

/** Shows one map with its mean, and its numbers as a table. */
export function AnswerMap(
  { id, name, cells, data }: {
    id: string;
    /** Whose answers they are: title and caption. */
    name: string;
    cells: readonly Answers[];
    data: FigureProps["data"];
  },
): JSX.Element {
  const contexts = ascending(cells.map(({ context }) => context));
  const depths = ascending(cells.map(({ depth }) => depth));
  const mean = cells.reduce((sum, cell) => sum + rateOf(cell), 0) / Math.max(1, cells.length);
  const rate = (context: number, depth: number) => {
    const cell = cells.find((one) => one.context === context && one.depth === depth);
    return cell ? rateOf(cell) : null;
  };
  const height = 70 + 26 * depths.length;
  return (
    <Figure
      id={id}
      title={`${name}: mean ${formatPercent(mean)}`}
      description={cells.map((cell) =>
        `${formatPercent(rateOf(cell))} at ${formatContext(cell.context)}, depth ${cell.depth} %`
      ).join("; ") + "."}
      width={540}
      height={height}
      compactHeight={height}
      draw={(size) => (
        <RateMap
          size={size}
          grid={{
            rows: depths.map(String),
            columns: contexts.map(formatContext),
            rates: depths.map((depth) => contexts.map((context) => rate(context, depth))),
            rowTitle: "depth, %",
            columnTitle: "context, characters",
          }}
        />
      )}
      data={data}
      table={{
        caption: name,
        columns: [
          { title: "Context", numeric: true },
          { title: "Depth, %", numeric: true },
          { title: "Right", numeric: true },
          { title: "Wilson 95 %", numeric: true },
        ],
        rows: cells.map(({ context, depth, correct, trials }) => {
          const { low, high } = wilsonInterval(correct, trials);
          return [
            formatContext(context),
            String(depth),
            `${formatCount(correct)} of ${formatCount(trials)}`,
            formatInterval([low, high], formatPercent),
          ];
        }),
      }}
    />
  );
}
