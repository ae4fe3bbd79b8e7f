/**
 * Maps of rates: contexts × depths, one for each arm.
 *
 * @module
 */
import type { JSX } from "preact";
import type { RetrievalRecord } from "../../suites/result/result_schema.ts";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatInterval,
  formatPercent,
  formatSignificant,
} from "../text/format.ts";
import {
  DENSE_ARM,
  type HeatMap,
  heatMaps,
  lossCounts,
  NORM_ARM,
  rateOf,
} from "../data/retrieval_data.ts";
import { Figure, Table } from "./figure.tsx";
import { anyLevel, armName, Block, type BlockProps, pairedText } from "../html/retrieval_block.tsx";
import { depthGrid, RateMap, RateScale } from "./rate_map.tsx";
import { cellData } from "../html/retrieval_export.ts";
import { capital } from "../html/section.tsx";
import { largest } from "../data/extremes.ts";

/** Contexts × depths, one map for each arm. */
export function MapBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const maps = heatMaps(record);
  if (maps.length === 0) return null;
  const margin = largest(maps.map((map) => map.margin));
  const shown = maps.filter((map) => map.margin === margin);
  const losses = lossCounts(record, { margin });
  return (
    <Block title="Where needles are found" text={`${mapText(shown)} ${lossText(record, margin)}`}>
      <RateScale />
      <div class="grid-of-figures">
        {shown.map((map, i) => (
          <MapFigure
            id={`${prefix}retrieval-map-${i + 1}`}
            map={map}
            maps={maps.filter(({ arm }) => arm === map.arm)}
          />
        ))}
      </div>
      {losses.length > 0 && (
        <Table
          caption={`Ways to lose a needle, share of the trials of the maps, margin ${margin}. Needle: not selected at full resolution. Query: the last one not selected. Diluted: both selected.`}
          columns={[
            { title: "Arm" },
            { title: "Trials", numeric: true },
            { title: "Decoded", numeric: true },
            { title: "Needle", numeric: true },
            { title: "Query", numeric: true },
            { title: "Diluted", numeric: true },
          ]}
          rows={losses.map(({ arm, trials, wrong, needle, query, diluted }) => [
            capital(armName(arm)),
            formatCount(trials),
            formatPercent(1 - wrong / trials),
            formatPercent(needle / trials),
            formatPercent(query / trials),
            formatPercent(diluted / trials),
          ])}
        />
      )}
    </Block>
  );
}

function mapText(maps: readonly HeatMap[]): string {
  const parts = [...maps].sort((a, b) => b.mean - a.mean).map(({ arm, mean }) =>
    `${armName(arm)} ${formatPercent(mean)}`
  );
  const sizes = new Set(maps.map(({ cells }) => cells.flat().filter(Boolean).length));
  return `Each cell is the share of trials whose digit was decoded, for a needle of margin ${
    maps[0].margin
  } at that depth and context. Means over the measured cells: ${parts.join(", ")}.` +
    (sizes.size > 1 ? " Arms measured at fewer contexts have means over those." : "") +
    " The oracle keeps the S largest logits, random any S rows, the window the last S: what they " +
    "find says how much of the result is due to choosing well.";
}

function lossText(record: RetrievalRecord, margin: number): string {
  const parts = lossCounts(record, { margin }).map(({ arm, wrong, needle, query, diluted }) => {
    if (wrong === 0) return `${armName(arm)} missed none`;
    const causes = [
      [needle, "the needle was not selected at full resolution"],
      [query, "the last query was not selected"],
      [diluted, "both were selected and the digit was diluted"],
    ] as const;
    const [most, cause] = [...causes].sort(([a], [b]) => b - a)[0];
    return `in ${formatPercent(most / wrong)} of the misses of ${armName(arm)} ${cause}`;
  });
  if (parts.length === 0) return "No Lighthouse layer was measured.";
  return `How needles are lost: ${parts.join("; ")}. The table below counts all of them.`;
}

function MapFigure({ id, map, maps }: { id: string; map: HeatMap; maps: readonly HeatMap[] }) {
  const height = 70 + 26 * map.depths.length;
  return (
    <Figure
      id={id}
      width={540}
      title={`${capital(armName(map.arm))}: mean ${formatPercent(map.mean)}`}
      description={map.cells.flatMap((row) =>
        row.flatMap((cell) =>
          cell
            ? [
              `${formatPercent(rateOf(cell))} at ${
                formatContext(cell.context)
              }, depth ${cell.depth} %`,
            ]
            : []
        )
      ).join("; ") + "."}
      height={height}
      compactHeight={height}
      draw={(size) => <RateMap size={size} grid={depthGrid(map)} />}
      data={cellData(maps.flatMap(({ cells }) => cells.flat()).filter((cell) => cell !== null))}
      table={{
        caption: armName(map.arm),
        columns: [
          { title: "Context", numeric: true },
          { title: "Depth, %", numeric: true },
          { title: "Margin", numeric: true },
          { title: "Decoded", numeric: true },
          { title: "Wilson 95 %", numeric: true },
          { title: "Needle at level 0", numeric: true },
          { title: "At any level", numeric: true },
          { title: "Finest level, 0 first" },
          { title: "Attention mass", numeric: true },
          { title: "Error against dense", numeric: true },
          { title: "McNemar against dense" },
          { title: "against random" },
          { title: "against norm" },
        ],
        rows: maps.flatMap(({ cells }) => cells.flat()).flatMap((cell) =>
          cell
            ? [[
              formatContext(cell.context),
              String(cell.depth),
              String(cell.margin),
              `${formatCount(cell.correct)} of ${formatCount(cell.trials)}`,
              formatInterval([cell.low, cell.high], formatPercent),
              formatCount(cell.needleSelected),
              anyLevel(cell),
              cell.finestLevels?.map(formatCount).join(", ") ?? ABSENT,
              formatSignificant(cell.mass),
              formatSignificant(cell.outputError),
              pairedText(cell, DENSE_ARM),
              pairedText(cell, "random"),
              pairedText(cell, NORM_ARM),
            ]]
            : []
        ),
      }}
    />
  );
}
