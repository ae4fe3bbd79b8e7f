/**
 * What Lighthouse and its rivals find of a planted needle at equal pairs.
 *
 * @module
 */
import type { JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import { type RivalNeedles, rivalNeedles } from "../data/rivals_data.ts";
import { ascending } from "../data/retrieval_data.ts";
import { formatContext, formatCount, formatPercent } from "../text/format.ts";
import { type Curve, CurvePlot } from "../charts/curve_plot.tsx";
import { Figure } from "../charts/figure.tsx";
import { styleOf } from "../charts/palette.ts";
import { armName, Block, RATE } from "./retrieval_block.tsx";
import { cellData } from "./retrieval_export.ts";
import { wilsonInterval } from "../../suites/statistics/intervals.ts";

/** Two figures with their table; null where no rival searched. */
export function RivalNeedleBlock(
  { result, prefix }: { result: Result; prefix: string },
): JSX.Element | null {
  const found = rivalNeedles(result);
  if (found === null) return null;
  const longest = found.contexts[found.contexts.length - 1];
  const unmatched = found.arms.filter(({ preset }) =>
    preset !== null && !preset.startsWith("matched")
  ).map(({ arm }) => arm);
  return (
    <Block
      title="What each finds of a planted needle"
      text={"One needle lies among keys of noise; the last query has to attend to it. Each layer has as " +
        "many pairs as Lighthouse at that context" +
        (unmatched.length === 0
          ? ". "
          : `, but ${unmatched.join(" and ")}, which cannot be matched and has its published ` +
            "settings. ") +
        "A needle counts as found where the last query attends to it itself, not to a mean that " +
        "holds it. An index of tokens (DSA, HISA) ranks by the query and the keys themselves here, as a " +
        "trained one would at best; noise has no structure that the mean of a block could show."}
    >
      <div class="grid-of-figures">
        <FoundFigure
          id={`${prefix}rival-needles-context`}
          found={found}
          result={result}
          by="context"
        />
        <FoundFigure
          id={`${prefix}rival-needles-depth`}
          found={found}
          result={result}
          by="depth"
          context={longest}
        />
      </div>
    </Block>
  );
}

function FoundFigure(
  { id, found, result, by, context }: {
    id: string;
    found: RivalNeedles;
    result: Result;
    by: "context" | "depth";
    /** Of the cells by depth. */
    context?: number;
  },
): JSX.Element {
  const { arms, cells, rates, margin, contexts } = found;
  const depths = ascending(cells.map(({ depth }) => depth!));
  const curves: Curve[] = arms.map(({ arm }) => ({
    label: armName(arm),
    style: styleOf(arm, result),
    points: by === "context"
      ? rates.filter((rate) => rate.arm === arm).map(({ context, selected, trials }) => ({
        x: Math.log2(context),
        y: selected / trials,
        ...wilsonInterval(selected, trials),
        count: trials,
      }))
      : cells.filter((cell) => cell.arm === arm && cell.context === context)
        .map(({ depth, needleSelected, trials }) => ({
          x: depth!,
          y: needleSelected / trials,
          ...wilsonInterval(needleSelected, trials),
          count: trials,
        })).sort((a, b) => a.x - b.x),
  }));
  const steps = contexts.map(Math.log2);
  const x = by === "context"
    ? {
      label: "context N, tokens",
      domain: [steps[0] - 0.2, steps[steps.length - 1] + 0.2] as [number, number],
      ticks: steps,
      format: (value: number) => formatContext(Math.round(2 ** value)),
    }
    : {
      label: "depth of the needle, % of the context",
      domain: [-4, 104] as [number, number],
      ticks: depths,
      format: String,
    };
  const where = by === "context"
    ? "over all depths"
    : `by depth, context ${formatContext(context!)}`;
  const own = by === "context" ? rates : rates.filter((rate) => rate.context === context);
  return (
    <Figure
      id={id}
      title={`Needles found ${where}, margin ${margin}`}
      description={curves.map(({ label, points }) =>
        `${label}: ${
          points.map(({ x: at, y }) => `${formatPercent(y)} at ${x.format(at)}`).join(", ")
        }.`
      ).join(" ")}
      width={540}
      height={380}
      draw={(size) => (
        <CurvePlot size={size} x={x} y={{ ...RATE, label: "needles found" }} curves={curves} />
      )}
      legend={curves}
      note="Bars: Wilson intervals, 95 %. All layers see the same trials."
      data={cellData(by === "context" ? cells : cells.filter((cell) => cell.context === context))}
      table={{
        caption: `Needles found ${where}`,
        columns: [
          { title: "Context", numeric: true },
          { title: "Layer" },
          { title: "Settings" },
          { title: "Keys of the last query", numeric: true },
          { title: "Found", numeric: true },
          { title: "Decoded", numeric: true },
          { title: "Trials", numeric: true },
        ],
        rows: own.map(({ arm, context, trials, selected, decoded, attended }) => [
          formatContext(context),
          armName(arm),
          arms.find((one) => one.arm === arm)!.preset ?? "–",
          formatCount(attended),
          formatPercent(selected / trials),
          formatPercent(decoded / trials),
          formatCount(trials),
        ]),
      }}
    />
  );
}
