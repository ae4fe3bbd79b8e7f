/**
 * Needles in difficult places.
 *
 * @module
 */
import type { JSX } from "preact";
import { formatContext, formatCount, formatInterval, formatPercent } from "../text/format.ts";
import { DENSE_ARM, orderArms, rateOf } from "../data/retrieval_data.ts";
import { Figure } from "./figure.tsx";
import {
  anyLevel,
  armName,
  Block,
  type BlockProps,
  lostText,
  pairedText,
} from "../html/retrieval_block.tsx";
import { type RateGrid, RateMap } from "./rate_map.tsx";
import { cellData } from "../html/retrieval_export.ts";

/** Needles in difficult places. */
export function StressBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const cells = record.cells.filter(({ sweep, stress }) => sweep === "stress" && stress);
  if (cells.length === 0) return null;
  const names = [...new Set(cells.map(({ stress }) => stress!))];
  const arms = orderArms(cells.map(({ arm }) => arm));
  const find = (stress: string, arm: string) =>
    cells.find((cell) => cell.stress === stress && cell.arm === arm);
  const [{ context, margin, trials }] = cells;
  const worst = names.flatMap((name) => {
    const base = find(name, DENSE_ARM);
    const layers = arms.filter((arm) => arm !== DENSE_ARM).flatMap((arm) => find(name, arm) ?? []);
    return base ? layers.map((cell) => ({ name, gap: rateOf(base) - rateOf(cell), cell })) : [];
  }).sort((a, b) => b.gap - a.gap)[0];
  const text =
    `Needles at the edges of windows, blocks and tiles, several at once, near-duplicates ` +
    `that carry other digits, and a window whose mean hides the needle; context ${
      formatContext(context)
    }, margin ${margin}, ${formatCount(trials)} trials each.` +
    (worst && worst.gap > 0
      ? ` Farthest behind dense attention: ${armName(worst.cell.arm)} with “${worst.name}”, ${
        formatPercent(rateOf(worst.cell))
      } decoded against ${formatPercent(rateOf(worst.cell) + worst.gap)}.`
      : "");
  const grid = (left: number): RateGrid => ({
    rows: names,
    columns: arms.map((arm) => arm.replace("lighthouse-", "")),
    rates: names.map((name) =>
      arms.map((arm) => {
        const cell = find(name, arm);
        return cell ? rateOf(cell) : null;
      })
    ),
    rowTitle: "percent of trials decoded",
    columnTitle: "",
    left,
  });
  const height = 66 + 26 * names.length;
  return (
    <Block title="Needles in difficult places" text={text}>
      <div class="column">
        <Figure
          id={`${prefix}stress-figure`}
          title="Stress cases"
          description={cells.map((cell) =>
            `${cell.stress}, ${armName(cell.arm)}: ${formatPercent(rateOf(cell))}`
          ).join("; ") + "."}
          height={height}
          compactHeight={height}
          draw={(size) => (
            <RateMap
              size={size}
              grid={size.compact
                ? { ...grid(26), rows: names.map((_, i) => String(i + 1)) }
                : grid(270)}
            />
          )}
          note="On a narrow screen rows have numbers, in the order of the table."
          data={cellData(cells)}
          table={{
            caption: "Stress cases",
            columns: [
              { title: "Case" },
              { title: "Arm" },
              { title: "Decoded", numeric: true },
              { title: "Wilson 95 %", numeric: true },
              { title: "Needle at level 0", numeric: true },
              { title: "At any level", numeric: true },
              { title: "Lost: needle, query, diluted" },
              { title: "McNemar against dense", numeric: true },
            ],
            rows: names.flatMap((name, i) =>
              arms.flatMap((arm) => {
                const cell = find(name, arm);
                return cell
                  ? [[
                    `${i + 1}. ${name}`,
                    armName(arm),
                    `${formatCount(cell.correct)} of ${formatCount(cell.trials)}`,
                    formatInterval([cell.low, cell.high], formatPercent),
                    formatCount(cell.needleSelected),
                    anyLevel(cell),
                    lostText(cell),
                    pairedText(cell, DENSE_ARM),
                  ]]
                  : [];
              })
            ),
          }}
        />
      </div>
    </Block>
  );
}
