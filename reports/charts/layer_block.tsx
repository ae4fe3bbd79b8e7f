/**
 * Rates under every layer of a grid of L, p and k.
 *
 * @module
 */
import type { JSX } from "preact";
import { formatContext, formatCount, formatInterval, formatPercent } from "../text/format.ts";
import { ascending, DENSE_ARM, orderArms, rateOf } from "../data/retrieval_data.ts";
import { Figure } from "./figure.tsx";
import {
  armName,
  Block,
  type BlockProps,
  layerName,
  lostText,
  pairedText,
  shapeName,
} from "../html/retrieval_block.tsx";
import { type RateGrid, RateMap } from "./rate_map.tsx";
import { cellData } from "../html/retrieval_export.ts";
import { capital } from "../html/section.tsx";

/** The grid of L, p and k. */
export function LayerBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const cells = record.cells.filter(({ sweep, lighthouse }) => sweep === "options" && lighthouse);
  if (cells.length === 0) return null;
  const base = record.cells.find(({ sweep, arm }) => sweep === "options" && arm === DENSE_ARM);
  const arms = orderArms(cells.map(({ arm }) => arm));
  const budgets = ascending(cells.map(({ lighthouse }) => lighthouse!.k));
  const shapes = [...new Set(cells.map(({ lighthouse }) => shapeName(lighthouse!)))].sort();
  const best = [...cells].sort((a, b) => rateOf(b) - rateOf(a))[0];
  const [{ context, margin }] = cells;
  const text =
    `The same needle, margin ${margin}, depth 50 %, context ${
      formatContext(context)
    }, under every layer of the grid.${
      base ? ` Dense attention decodes ${formatPercent(rateOf(base))}.` : ""
    } Best: ${armName(best.arm)} with ${shapeName(best.lighthouse!)}, k = ${
      formatCount(best.lighthouse!.k)
    }, ${formatPercent(rateOf(best))}. A larger budget keeps more rows at full resolution; more ` +
    "levels and a larger pooling factor leave fewer coarse entries.";
  return (
    <Block title="Levels, pooling and budget" text={text}>
      <div class="grid-of-small">
        {arms.map((arm, i) => {
          const own = cells.filter((cell) => cell.arm === arm);
          const rows = shapes.filter((name) =>
            own.some(({ lighthouse }) => shapeName(lighthouse!) === name)
          );
          const height = 66 + 26 * rows.length;
          const grid: RateGrid = {
            rows,
            columns: budgets.map(formatCount),
            rates: rows.map((name) =>
              budgets.map((k) => {
                const cell = own.find(({ lighthouse }) =>
                  shapeName(lighthouse!) === name && lighthouse!.k === k
                );
                return cell ? rateOf(cell) : null;
              })
            ),
            rowTitle: "percent of trials decoded",
            columnTitle: "k",
            left: 92,
          };
          return (
            <Figure
              id={`${prefix}layer-figure-${i + 1}`}
              title={capital(armName(arm))}
              description={own.map((cell) => `${layerName(cell)}: ${formatPercent(rateOf(cell))}`)
                .join("; ") + "."}
              width={360}
              height={height}
              compactHeight={height}
              draw={(size) => <RateMap size={size} grid={grid} />}
              data={cellData(own)}
              table={{
                caption: `${capital(armName(arm))}: levels, pooling and budget`,
                columns: [
                  { title: "Layer" },
                  { title: "S", numeric: true },
                  { title: "Decoded", numeric: true },
                  { title: "Wilson 95 %", numeric: true },
                  { title: "Needle at level 0", numeric: true },
                  { title: "Lost: needle, query, diluted" },
                  { title: "McNemar against dense", numeric: true },
                ],
                rows: own.map((cell) => [
                  layerName(cell),
                  formatCount(cell.attended),
                  `${formatCount(cell.correct)} of ${formatCount(cell.trials)}`,
                  formatInterval([cell.low, cell.high], formatPercent),
                  formatCount(cell.needleSelected),
                  lostText(cell),
                  pairedText(cell, DENSE_ARM),
                ]),
              }}
            />
          );
        })}
      </div>
    </Block>
  );
}
