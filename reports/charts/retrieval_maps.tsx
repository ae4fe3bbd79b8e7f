/**
 * Maps of rates: contexts × depths, stress cases, layers, and the place of the paper's table.
 *
 * @module
 */
import type { JSX } from "preact";
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
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
  ascending,
  type HeatMap,
  heatMaps,
  lossCounts,
  orderArms,
  rateOf,
} from "../data/retrieval_data.ts";
import { Figure, Table } from "./figure.tsx";
import {
  anyLevel,
  armName,
  Block,
  type BlockProps,
  layerName,
  lostText,
  pairedText,
  shapeName,
} from "../html/retrieval_block.tsx";
import { depthGrid, type RateGrid, RateMap, RateScale } from "./retrieval_drawings.tsx";
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
              pairedText(cell, "dense"),
              pairedText(cell, "random"),
              pairedText(cell, "lighthouse-norm"),
            ]]
            : []
        ),
      }}
    />
  );
}

/** Needles in awkward places. */
export function StressBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const cells = record.cells.filter(({ sweep, stress }) => sweep === "stress" && stress);
  if (cells.length === 0) return null;
  const names = [...new Set(cells.map(({ stress }) => stress!))];
  const arms = orderArms(cells.map(({ arm }) => arm));
  const find = (stress: string, arm: string) =>
    cells.find((cell) => cell.stress === stress && cell.arm === arm);
  const [{ context, margin, trials }] = cells;
  const worst = names.flatMap((name) => {
    const base = find(name, "dense");
    const layers = arms.filter((arm) => arm !== "dense").flatMap((arm) => find(name, arm) ?? []);
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
    <Block title="Needles in awkward places" text={text}>
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
                    pairedText(cell, "dense"),
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

/** The grid of L, p and k. */
export function LayerBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const cells = record.cells.filter(({ sweep, lighthouse }) => sweep === "options" && lighthouse);
  if (cells.length === 0) return null;
  const base = record.cells.find(({ sweep, arm }) => sweep === "options" && arm === "dense");
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
                  pairedText(cell, "dense"),
                ]),
              }}
            />
          );
        })}
      </div>
    </Block>
  );
}

/** The paper's own table, and a checkpoint's where there is one: apart from the mechanism. */
export function PaperBlock({ record, prefix }: BlockProps): JSX.Element {
  const { mean, protocol } = paper.retrieval;
  const { checkpoint } = record;
  const text =
    "Fig. 4 is about trained models, evaluated under dense attention after their dense " +
    "resume. The models were not published, so its means were not run here; a checkpoint can be " +
    "given with --checkpoint, and its map stands here, apart from the mechanism above.";
  return (
    <Block title="The paper’s retrieval table" text={text}>
      <Table
        caption="Fig. 4: mean share of right digits over depths and contexts"
        columns={[{ title: "Model" }, { title: "Paper", numeric: true }, { title: "Here" }]}
        rows={mean.map(({ scorer, k, mean }) => [
          k === null ? "dense attention (SDPA)" : `${scorer}, k = ${formatCount(k)}`,
          mean.toFixed(2),
          "not run: no trained model",
        ])}
      />
      {checkpoint && (
        <div class="column">
          <CheckpointFigure id={`${prefix}checkpoint-figure`} {...{ checkpoint }} />
        </div>
      )}
      {checkpoint && (
        <p>
          Digit passkey in alphanumeric filler, the largest of ten logits at the last position;{" "}
          {protocol.trials_per_cell} prompts a cell. {checkpoint.name}{" "}
          is no model of the paper unless its maker says so.
        </p>
      )}
    </Block>
  );
}

function CheckpointFigure(
  { id, checkpoint: { name, cells } }: {
    id: string;
    checkpoint: NonNullable<RetrievalRecord["checkpoint"]>;
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
      title={`Checkpoint “${name}”: mean ${formatPercent(mean)}`}
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
      data={{
        columns: ["context_characters", "depth_percent", "correct", "trials"],
        rows: cells.map(({ context, depth, correct, trials }) => [context, depth, correct, trials]),
      }}
      table={{
        caption: `Checkpoint “${name}”`,
        columns: [
          { title: "Context", numeric: true },
          { title: "Depth, %", numeric: true },
          { title: "Right", numeric: true },
        ],
        rows: cells.map(({ context, depth, correct, trials }) => [
          formatContext(context),
          String(depth),
          `${formatCount(correct)} of ${formatCount(trials)}`,
        ]),
      }}
    />
  );
}
