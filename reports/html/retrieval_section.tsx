/**
 * The retrieval suite: does the mechanism find and carry a needle.
 *
 * @module
 */
// @ts-types="npm:@types/d3-shape@3.1.7"
import { symbolCircle } from "d3-shape";
import type { Result } from "../../suites/result_schema.ts";
import type { RetrievalCell, RetrievalRecord } from "../../suites/retrieval/retrieval_schema.ts";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatInterval,
  formatPercent,
  formatPlural,
  formatSignificant,
} from "../format.ts";
import {
  type HeatMap,
  heatMaps,
  rateOf,
  type SurvivalPoint,
  survivalPoints,
  sweepCurves,
} from "../retrieval_data.ts";
import { Figure, Table } from "./figure.tsx";
import { seriesStyles } from "./palette.ts";
import { type Curve, CurvePlot, type LinearAxis, RateMap } from "./retrieval_drawings.tsx";
import { capital, type Section, Spread } from "./section.tsx";

const RATE: Omit<LinearAxis, "label"> = {
  domain: [0, 1],
  ticks: [0, 0.25, 0.5, 0.75, 1],
  format: (value) => `${Math.round(100 * value)} %`,
};

/** The section, or null where the result has nothing for it. */
export function retrievalSection(result: Result, prefix: string): Section | null {
  const record = result.retrieval;
  if (!record || record.cells.length === 0) return null;
  const maps = heatMaps(record);
  const margin = Math.max(...maps.map((map) => map.margin));
  const shown = maps.filter((map) => map.margin === margin);
  const points = survivalPoints(record);
  const contexts = [...new Set(record.laws.map(({ context }) => context))].sort((a, b) => a - b);
  const ends = [...new Set([contexts[0], contexts[contexts.length - 1]])].filter((c) => c > 0);
  const failed = record.instrument.filter(({ passed }) => !passed).length;
  return {
    id: `${prefix}retrieval`,
    nav: "Retrieval",
    content: (
      <Spread
        title={titleOf(record, failed)}
        figure={
          <>
            {ends.map((context, i) => (
              <TransitionFigure
                id={`${prefix}transition-figure-${i + 1}`}
                {...{ record, context }}
              />
            ))}
            <div class="grid-of-figures">
              {shown.map((map, i) => (
                <MapFigure
                  id={`${prefix}retrieval-map-${i + 1}`}
                  map={map}
                  maps={maps.filter(({ arm }) => arm === map.arm)}
                />
              ))}
            </div>
            {points.length > 0 && (
              <SurvivalFigure
                id={`${prefix}survival-figure`}
                points={points}
              />
            )}
            <Details record={record} />
          </>
        }
      >
        <p>{instrumentText(record, failed)}</p>
        {shown.length > 0 && <p>{mapText(shown)}</p>}
        <p>{lossText(record)}</p>
        {points.length > 0 && <p>{survivalText(points)}</p>}
        <p>
          No trained model takes part: keys, values and queries are random numbers with one planted
          row. It says what the mechanism can find, not what training makes of it. The paper’s Fig.
          4 is about trained models evaluated under dense attention, and was not run.
        </p>
      </Spread>
    ),
  };
}

function titleOf(record: RetrievalRecord, failed: number): string {
  if (failed > 0) return `Retrieval: ${formatPlural(failed, "instrument check")} failed`;
  return hasSurvivalEvidence(record)
    ? "Under the norm scorer the size of a needle’s key decides whether it survives"
    : "Planted needles: what selection keeps and what it loses";
}

/** Whether norm scores are shown to follow salience: not selected at the least, always at the most. */
function hasSurvivalEvidence(record: RetrievalRecord): boolean {
  const norm = sweepCurves(record, { sweep: "salience" }).filter(({ arm }) =>
    arm === "lighthouse-norm"
  );
  return norm.length > 0 && norm.every(({ cells }) => {
    const share = (cell: RetrievalCell) => cell.needleSelected / cell.trials;
    return share(cells[cells.length - 1]) - share(cells[0]) > 0.5;
  });
}

function instrumentText(record: RetrievalRecord, failed: number): string {
  const { instrument, confidence } = record;
  if (instrument.length === 0) return "The instrument was not checked in this run.";
  const mass = instrument.filter(({ quantity }) => quantity === "mass");
  const worst = Math.max(...mass.map(({ measured, law }) => Math.abs(measured / law - 1)));
  return `Why to trust the rest: the laws of dense attention over unit-normal logits are known. ` +
    `${formatCount(instrument.length - failed)} of ${
      formatPlural(instrument.length, "measurement")
    } lie in the band that chance allows; all do in ${
      formatPercent(confidence)
    } of runs if the laws are exact.` +
    (mass.length > 0
      ? ` The needle’s attention mass is at most ${formatPercent(worst)} off its expectation.`
      : "");
}

function mapText(maps: readonly HeatMap[]): string {
  const parts = [...maps].sort((a, b) => b.mean - a.mean).map(({ arm, mean }) =>
    `${armName(arm)} ${formatPercent(mean)}`
  );
  return `Mean share of decoded digits over the measured cells of the maps, margin ${
    maps[0].margin
  }: ${
    parts.join(", ")
  }. Chance is 10 %. Arms that were measured at fewer contexts have means over ` +
    `those.`;
}

function lossText({ cells }: RetrievalRecord): string {
  const grid = cells.filter(({ sweep, lighthouse }) => sweep === "grid" && lighthouse);
  const names = [...new Set(grid.map(({ arm }) => arm))];
  const parts = names.map((name) => {
    const own = grid.filter(({ arm }) => arm === name);
    const sum = (read: (cell: RetrievalCell) => number) =>
      own.reduce((total, cell) => total + read(cell), 0);
    const wrong = sum(({ trials, correct }) => trials - correct);
    if (wrong === 0) return `${armName(name)} lost none`;
    const share = (count: number) => formatPercent(count / wrong);
    return `${armName(name)}: needle not selected at full resolution ${
      share(sum(({ lost }) => lost.needle))
    }, last query not selected ${share(sum(({ lost }) => lost.query))}, both selected but diluted ${
      share(sum(({ lost }) => lost.diluted))
    }`;
  });
  return parts.length > 0
    ? `How needles were lost, shares of the wrong trials: ${parts.join("; ")}.`
    : "No Lighthouse layer was measured.";
}

function survivalText(points: readonly SurvivalPoint[]): string {
  const norm = points.filter(({ scorer, salience }) => scorer === "norm" && salience !== null);
  const opening =
    "The norm scorer sees only magnitudes. A needle must be among the K/(2N) keys of " +
    "largest norm, which predicts the salience it needs.";
  if (norm.length === 0) return opening;
  const [least, most] = [norm[0], norm[norm.length - 1]];
  return `${opening} Measured: ${
    formatSignificant(least.salience!)
  } times the other keys’ norm at K/N = ${formatRatioOf(least)}, ${
    formatSignificant(most.salience!)
  } times at ${
    formatRatioOf(most)
  }. A smaller budget asks for more salience, whatever the match with the query: the direction of ` +
    `Fig. 4, where the norm scorer falls from 0.72 to 0.65 as k goes from 2,048 to 1,536.`;
}

function TransitionFigure(
  { id, record, context }: { id: string; record: RetrievalRecord; context: number },
) {
  const groups = sweepCurves(record, { sweep: "transition", context });
  const styles = seriesStyles(groups.map(({ arm }) => arm));
  const laws = record.laws.filter((law) => law.context === context);
  const ink = { color: "var(--soft)", marker: symbolCircle };
  const curves: Curve[] = [
    {
      label: "law of dense attention",
      style: ink,
      law: true,
      points: laws.map(({ margin, accuracy }) => ({ x: margin, y: accuracy })),
    },
    ...groups.map(({ arm, cells }): Curve => ({
      label: armName(arm),
      style: styles.get(arm)!,
      dash: arm === "dense" ? "0 9999" : undefined,
      points: cells.map((cell) => ({
        x: cell.margin,
        y: rateOf(cell),
        low: cell.low,
        high: cell.high,
      })),
    })),
  ];
  const margins = [...new Set(groups.flatMap(({ cells }) => cells.map((cell) => cell.margin)))]
    .sort(
      (a, b) => a - b,
    );
  const [low, high] = [margins[0] - 0.25, margins[margins.length - 1] + 0.25];
  const ticks = margins.filter((margin) => Number.isInteger(margin));
  return (
    <Figure
      id={id}
      title={`Decoded digits against the needle’s margin, context ${formatContext(context)}`}
      description={groups.map(({ arm, cells }) =>
        `${armName(arm)}: ${
          cells.map((cell) => `${formatPercent(rateOf(cell))} at margin ${cell.margin}`).join(", ")
        }.`
      ).join(" ")}
      height={360}
      draw={(size) => (
        <CurvePlot
          size={size}
          x={{ label: "logit margin μ of the needle", domain: [low, high], ticks, format: String }}
          y={{ ...RATE, label: "trials decoded" }}
          curves={curves}
        />
      )}
      legend={curves.map(({ label, style, law }) => ({ label, style, hollow: law }))}
      note={`Needle at depth 50 %. The thin line is the law, the points of dense attention are the measurement. Bars: Wilson intervals, 95 %.`}
      table={{
        caption: `Transition at context ${formatContext(context)}`,
        columns: [
          { title: "Arm" },
          { title: "Margin", numeric: true },
          { title: "Decoded", numeric: true },
          { title: "Wilson 95 %", numeric: true },
          { title: "Law of dense attention", numeric: true },
          { title: "McNemar against dense", numeric: true },
        ],
        rows: groups.flatMap(({ arm, cells }) =>
          cells.map((cell) => [
            armName(arm),
            String(cell.margin),
            `${formatCount(cell.correct)} of ${formatCount(cell.trials)}`,
            formatInterval([cell.low, cell.high], formatPercent),
            lawText(record, cell),
            pairedText(cell),
          ])
        ),
      }}
    />
  );
}

function lawText({ instrument }: RetrievalRecord, { context, margin, arm }: RetrievalCell): string {
  const own = arm === "dense" &&
    instrument.find((one) =>
      one.quantity === "accuracy" && one.context === context && one.margin === margin
    );
  return own ? formatPercent(own.law) : ABSENT;
}

function pairedText({ paired }: RetrievalCell): string {
  const dense = paired.find((pair) => pair.with === "dense");
  return dense
    ? `+${dense.onlyThis} −${dense.onlyOther}, p = ${formatSignificant(dense.probability)}`
    : ABSENT;
}

function MapFigure({ id, map, maps }: { id: string; map: HeatMap; maps: readonly HeatMap[] }) {
  const height = 70 + 26 * map.depths.length;
  return (
    <Figure
      id={id}
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
      draw={(size) => <RateMap size={size} map={map} />}
      note={`Percent of trials decoded, margin ${map.margin}; colours run from 0 to 100 % in every map.`}
      table={{
        caption: armName(map.arm),
        columns: [
          { title: "Context", numeric: true },
          { title: "Depth, %", numeric: true },
          { title: "Margin", numeric: true },
          { title: "Decoded", numeric: true },
          { title: "Wilson 95 %", numeric: true },
          { title: "Needle at level 0", numeric: true },
          { title: "Finest level, 0 first" },
          { title: "Attention mass", numeric: true },
          { title: "Error against dense", numeric: true },
          { title: "Against dense" },
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
              cell.finestLevels?.map(formatCount).join(", ") ?? ABSENT,
              formatSignificant(cell.mass),
              formatSignificant(cell.outputError),
              pairedText(cell),
            ]]
            : []
        ),
      }}
    />
  );
}

function SurvivalFigure({ id, points }: { id: string; points: readonly SurvivalPoint[] }) {
  const scorers = [...new Set(points.map(({ scorer }) => scorer))];
  const styles = seriesStyles(scorers.map((scorer) => `lighthouse-${scorer}`));
  const ratios = [...new Set(points.map(({ ratio }) => ratio))].sort((a, b) => a - b);
  const theory = ratios.flatMap((ratio) => {
    const law = points.find((point) => point.ratio === ratio)?.law ?? null;
    return law === null ? [] : [{ x: Math.log2(ratio), y: law }];
  });
  const curves: Curve[] = [
    {
      label: "law of the norm scorer",
      style: { color: "var(--soft)", marker: symbolCircle },
      law: true,
      points: theory,
    },
    ...scorers.map((scorer): Curve => ({
      label: scorer,
      style: styles.get(`lighthouse-${scorer}`)!,
      points: points.flatMap((point) =>
        point.scorer === scorer && point.salience !== null
          ? [{ x: Math.log2(point.ratio), y: point.salience }]
          : []
      ),
    })),
  ];
  const values = curves.flatMap(({ points }) => points.map(({ y }) => y));
  const top = Math.ceil(10 * Math.max(1.2, ...values)) / 10;
  const bottom = Math.floor(10 * Math.min(0.9, ...values)) / 10;
  const [first, last] = [Math.log2(ratios[0]), Math.log2(ratios[ratios.length - 1])];
  return (
    <Figure
      id={id}
      title="Salience that a needle needs to survive, against the budget"
      description={points.map((point) =>
        `${point.scorer} at K/N = ${formatRatioOf(point)}: ${salienceText(point)}.`
      ).join(" ")}
      height={340}
      draw={(size) => (
        <CurvePlot
          size={size}
          x={{
            label: "budget K/N",
            domain: [first - 0.3, last + 0.3],
            ticks: ratios.map(Math.log2),
            format: (value) => `1/${Math.round(2 ** -value)}`,
          }}
          y={{
            label: "norm of the needle’s key, others 1, where half survive",
            domain: [bottom, top],
            ticks: [bottom, 1, (1 + top) / 2, top],
            format: (value) => value.toFixed(2),
          }}
          curves={curves}
        />
      )}
      legend={curves.map(({ label, style, law }) => ({ label, style, hollow: law }))}
      note="Survive: selected at full resolution. Thin line: a needle must be among the K/(2N) keys of largest norm. Scorers without a point never cross one half within the sweep; the table says on which side they stay."
      table={{
        caption: "Salience at which half of the needles are selected",
        columns: [
          { title: "Scorer" },
          { title: "K/N" },
          { title: "k", numeric: true },
          { title: "Context", numeric: true },
          { title: "Salience", numeric: true },
          { title: "Law of the norm scorer", numeric: true },
        ],
        rows: points.map((point) => [
          point.scorer,
          formatRatioOf(point),
          formatCount(point.k),
          formatContext(point.context),
          salienceText(point),
          point.scorer === "norm" && point.law !== null ? formatSignificant(point.law) : ABSENT,
        ]),
      }}
    />
  );
}

function salienceText({ salience, beyond }: SurvivalPoint): string {
  if (salience !== null) return formatSignificant(salience);
  return beyond === "above" ? "more than the sweep has" : "less than the sweep has";
}

function formatRatioOf({ ratio }: SurvivalPoint): string {
  return `1/${formatSignificant(1 / ratio).replace(/\.0+$/, "")}`;
}

function Details({ record }: { record: RetrievalRecord }) {
  const rows = record.cells.filter(({ sweep }) =>
    sweep === "stress" || sweep === "options" || sweep === "salience" || sweep === "alignment"
  );
  return (
    <>
      <details class="data">
        <summary>The instrument against its laws</summary>
        <Table
          caption="Measured, expected, and the band that chance allows"
          columns={[
            { title: "Quantity" },
            { title: "Context", numeric: true },
            { title: "Margin", numeric: true },
            { title: "Measured", numeric: true },
            { title: "Law", numeric: true },
            { title: "Band", numeric: true },
            { title: "Holds" },
          ]}
          rows={record.instrument.map((one) => [
            one.quantity,
            formatContext(one.context),
            String(one.margin),
            formatSignificant(one.measured),
            formatSignificant(one.law),
            formatInterval([one.low, one.high], formatSignificant),
            one.passed ? "yes" : "no",
          ])}
        />
      </details>
      <details class="data">
        <summary>Stress cases, layers, salience and alignment</summary>
        <Table
          caption="Further settings"
          columns={[
            { title: "Setting" },
            { title: "Arm" },
            { title: "Context", numeric: true },
            { title: "Margin", numeric: true },
            { title: "Key norm", numeric: true },
            { title: "Decoded", numeric: true },
            { title: "Needle at level 0", numeric: true },
            { title: "Lost: needle, query, diluted" },
          ]}
          rows={rows.map((cell) => [
            cell.stress ?? cell.sweep,
            cell.lighthouse
              ? `${
                armName(cell.arm)
              }, L = ${cell.lighthouse.levels}, p = ${cell.lighthouse.pooling}, k = ${cell.lighthouse.k}`
              : armName(cell.arm),
            formatContext(cell.context),
            String(cell.margin),
            cell.norm === null ? ABSENT : formatSignificant(cell.norm),
            `${formatCount(cell.correct)} of ${formatCount(cell.trials)}`,
            formatCount(cell.needleSelected),
            [cell.lost.needle, cell.lost.query, cell.lost.diluted].map(formatCount).join(", "),
          ])}
        />
      </details>
      {record.skipped.length > 0 && (
        <details class="data">
          <summary>Left out: {formatPlural(record.skipped.length, "line")}</summary>
          <ul>{record.skipped.map((line) => <li>{line}</li>)}</ul>
        </details>
      )}
    </>
  );
}

function armName(arm: string): string {
  const names: Record<string, string> = {
    oracle: "oracle, top S by logit",
    random: "random S",
    window: "last S rows",
  };
  return Object.hasOwn(names, arm) ? names[arm] : arm.replace("lighthouse-", "Lighthouse ");
}
