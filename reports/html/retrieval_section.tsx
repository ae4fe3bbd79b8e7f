/**
 * The retrieval suite: does the mechanism find and carry a needle.
 *
 * @module
 */
import type { ComponentChildren, JSX } from "preact";
// @ts-types="npm:@types/d3-shape@3.1.7"
import { symbolCircle } from "d3-shape";
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
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
  ascending,
  type HeatMap,
  heatMaps,
  lossCounts,
  orderArms,
  rateOf,
  spreadOut,
  type SurvivalPoint,
  survivalPoints,
  sweepCurves,
} from "../retrieval_data.ts";
import { Figure, Table } from "./figure.tsx";
import { cycledStyles, seriesStyles } from "./palette.ts";
import {
  type Curve,
  CurvePlot,
  depthGrid,
  type LinearAxis,
  type RateGrid,
  RateMap,
  RateScale,
} from "./retrieval_drawings.tsx";
import { capital, type Section, unbroken } from "./section.tsx";

const RATE: Omit<LinearAxis, "label"> = {
  domain: [0, 1],
  ticks: [0, 0.25, 0.5, 0.75, 1],
  format: (value) => `${Math.round(100 * value)} %`,
};

/** Contexts that a drawing shows; the table has all. */
const MOST_CONTEXTS = 4;

/** The section, or null where the result has nothing for it. */
export function retrievalSection(result: Result, prefix: string): Section | null {
  const record = result.retrieval;
  if (!record || record.cells.length === 0 && !record.checkpoint) return null;
  const failed = record.instrument.filter(({ passed }) => !passed).length;
  const blocks = [
    InstrumentBlock,
    MapBlock,
    TransitionBlock,
    SalienceBlock,
    StressBlock,
    LayerBlock,
    PaperBlock,
  ];
  return {
    id: `${prefix}retrieval`,
    nav: "Retrieval",
    content: (
      <>
        <h2>{unbroken(titleOf(record, failed))}</h2>
        <p class="lead">
          {leadText(record)}
        </p>
        {blocks.map((Part) => <Part record={record} prefix={prefix} />)}
        <Details record={record} />
      </>
    ),
  };
}

interface BlockProps {
  record: RetrievalRecord;
  prefix: string;
}

/** A question, its answer in words, and the figures that show it. */
function Block(
  { title, text, children }: {
    title: string;
    text: ComponentChildren;
    children?: ComponentChildren;
  },
): JSX.Element {
  return (
    <div class="block">
      <h3>{title}</h3>
      <p>{typeof text === "string" ? unbroken(text) : text}</p>
      {children}
    </div>
  );
}

function leadText({ trials, headDim, cells }: RetrievalRecord): string {
  const contexts = ascending(cells.map(({ context }) => context));
  const range = contexts.length === 0
    ? ""
    : ` at ${formatPlural(contexts.length, "context")} up to ${
      formatContext(contexts[contexts.length - 1])
    }`;
  return "One needle, whose value encodes a digit, lies among random keys and values; the last " +
    "position reads a digit out. No trained model takes part: this says what the mechanism can " +
    `find and carry, not what training makes of it. ${
      formatCount(trials)
    } trials a cell${range}, ` +
    `d = ${headDim}; all arms see the same trials. Chance is 10 %.`;
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

const QUANTITIES = [
  { quantity: "largest", law: "largest", title: "The needle’s logit is the largest" },
  { quantity: "mass", law: "mass", title: "Attention mass on the needle" },
  { quantity: "accuracy", law: "accuracy", title: "Digit decoded, dense attention" },
] as const;

function InstrumentBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const { instrument, confidence } = record;
  if (record.cells.length === 0) return null;
  const failed = instrument.filter(({ passed }) => !passed).length;
  const mass = instrument.filter(({ quantity }) => quantity === "mass");
  const worst = Math.max(...mass.map(({ measured, law }) => Math.abs(measured / law - 1)));
  const found =
    `${formatCount(instrument.length - failed)} of ${
      formatPlural(instrument.length, "measurement")
    } lie in the band that chance allows; all do in ${
      formatPercent(confidence)
    } of runs if the laws are exact.` +
    (mass.length > 0
      ? ` The needle’s attention mass is at most ${formatPercent(worst)} off its expectation.`
      : "") +
    (failed === 0 ? " So planting, dense attention and decoding can be trusted." : "");
  const text = instrument.length === 0 ? "The instrument was not checked in this run." : (
    <>
      What dense attention must do among N − 1 distractors with unit-normal logits is known. The
      needle of margin μ has the largest logit with probability ∫ φ(x − μ) Φ(x)<sup>N−1</sup>{" "}
      dx; its attention mass is near e<sup>μ</sup> / (e<sup>μ</sup>{" "}
      + (N − 1) e<sup>½</sup>); from that mass and the distractors’ values follows how often the
      digit is decoded. {unbroken(found)}
    </>
  );
  const contexts = spreadOut(ascending(record.laws.map(({ context }) => context)), MOST_CONTEXTS);
  const styles = cycledStyles(contexts.length);
  return (
    <Block title="Can the instrument be trusted?" text={text}>
      <div class="grid-of-small">
        {QUANTITIES.map(({ quantity, law, title }, i) => {
          const own = instrument.filter((one) => one.quantity === quantity);
          if (own.length === 0) return null;
          // Masses span decades.
          const scale = (value: number) => quantity === "mass" ? Math.log10(value) : value;
          const y = quantity === "mass"
            ? decades(own.flatMap(({ measured, law }) => [measured, law]))
            : { ...RATE, label: "share" };
          const margins = marginAxis(own.map(({ margin }) => margin));
          const inside = ({ margin }: { margin: number }) =>
            margin >= margins.domain[0] && margin <= margins.domain[1];
          const curves = contexts.flatMap((context, c): Curve[] => [
            {
              label: `${formatContext(context)}, law`,
              style: styles[c],
              law: true,
              points: record.laws.filter((one) => one.context === context && inside(one))
                .map((one) => ({ x: one.margin, y: scale(one[law]) })),
            },
            {
              label: formatContext(context),
              style: styles[c],
              dash: "0 9999",
              points: own.filter((one) => one.context === context)
                .map((one) => ({
                  x: one.margin,
                  y: scale(one.measured),
                  low: scale(Math.max(one.low, 1e-9)),
                  high: scale(one.high),
                })),
            },
          ]);
          return (
            <Figure
              id={`${prefix}instrument-figure-${i + 1}`}
              title={title}
              description={own.map(({ context, margin, measured, law }) =>
                `${formatSignificant(measured)} against ${formatSignificant(law)} at ${
                  formatContext(context)
                }, margin ${margin}`
              ).join("; ") + "."}
              width={360}
              height={300}
              compactHeight={280}
              draw={(size) => (
                <CurvePlot
                  size={size}
                  x={margins}
                  y={y}
                  curves={curves}
                />
              )}
              legend={contexts.map((context, c) => ({
                label: formatContext(context),
                style: styles[c],
              }))}
              note="Lines: law. Points: measured. Bars: where the point must lie if the law is exact."
              table={{
                caption: title,
                columns: [
                  { title: "Context", numeric: true },
                  { title: "Margin", numeric: true },
                  { title: "Measured", numeric: true },
                  { title: "Law", numeric: true },
                  ...(quantity === "mass"
                    ? [{ title: "e^μ / (e^μ + (N−1)e^½)", numeric: true }]
                    : []),
                  { title: "Band", numeric: true },
                  { title: "Holds" },
                ],
                rows: own.map((one) => [
                  formatContext(one.context),
                  String(one.margin),
                  formatSignificant(one.measured),
                  formatSignificant(one.law),
                  ...(quantity === "mass"
                    ? [one.atMargin === undefined ? ABSENT : formatSignificant(one.atMargin)]
                    : []),
                  formatInterval([one.low, one.high], formatSignificant),
                  one.passed ? "yes" : "no",
                ]),
              }}
            />
          );
        })}
      </div>
    </Block>
  );
}

function MapBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const maps = heatMaps(record);
  if (maps.length === 0) return null;
  const margin = Math.max(...maps.map((map) => map.margin));
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

function TransitionBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const contexts = ascending(
    record.cells.filter(({ sweep, arm }) => sweep === "transition" && arm !== "absent")
      .map(({ context }) => context),
  );
  if (contexts.length === 0) return null;
  const ends = ascending([contexts[0], contexts[contexts.length - 1]]);
  const text =
    "The margin μ is how far the needle’s logit stands above the others’ mean. Below the " +
    "transition nobody reads the digit, above it everybody who has the needle does; what " +
    "selection costs is the distance between the curves in between, and where a curve levels off " +
    "below 100 % the needle is not selected however well it matches." +
    (ends.length > 1 ? " A longer context moves the transition to larger margins." : "");
  return (
    <Block title="How well must a needle match?" text={text}>
      <div class="grid-of-figures">
        {ends.map((context, i) => (
          <TransitionFigure id={`${prefix}transition-figure-${i + 1}`} {...{ record, context }} />
        ))}
      </div>
    </Block>
  );
}

function SalienceBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const points = survivalPoints(record);
  if (points.length === 0) return null;
  const sweeps = (["salience", "alignment"] as const).map((sweep) => ({
    sweep,
    arms: orderArms(
      record.cells.filter((cell) => cell.sweep === sweep && cell.lighthouse).map(({ arm }) => arm),
    ),
  }));
  return (
    <Block title="What a needle needs to survive" text={survivalText(points)}>
      <div class="column">
        <SurvivalFigure id={`${prefix}survival-figure`} points={points} />
      </div>
      {sweeps.map(({ sweep, arms }) => (
        <div class="grid-of-small">
          {arms.map((arm) => (
            <RecallFigure
              id={`${prefix}${sweep}-figure-${arms.indexOf(arm) + 1}`}
              {...{ record, sweep, arm }}
            />
          ))}
        </div>
      ))}
    </Block>
  );
}

function survivalText(points: readonly SurvivalPoint[]): string {
  const norm = points.filter(({ scorer, salience }) => scorer === "norm" && salience !== null);
  const opening =
    "The norm scorer sees only magnitudes. A needle must be among the K/(2N) keys of " +
    "largest norm, which predicts the salience it needs, its norm over the other keys’.";
  const others = orderArms(points.map(({ scorer }) => `lighthouse-${scorer}`))
    .filter((arm) => arm !== "lighthouse-norm").map((arm) => {
      const own = points.filter(({ scorer }) => `lighthouse-${scorer}` === arm);
      const reached = own.filter(({ salience }) => salience !== null);
      return reached.length > 0
        ? ` ${capital(armName(arm))}: half survive from ${
          formatSignificant(reached[0].salience!)
        } times on at K/N = ${formatRatioOf(reached[0])}.`
        : ` ${capital(armName(arm))}: ${
          own.every(({ beyond }) => beyond === "above")
            ? "no salience of the sweep lets half survive."
            : "one half is never crossed within the sweep."
        }`;
    }).join("");
  if (norm.length === 0) return `${opening}${others}`;
  const [least, most] = [norm[0], norm[norm.length - 1]];
  return `${opening} Measured: ${
    formatSignificant(least.salience!)
  } times the other keys’ norm at K/N = ${formatRatioOf(least)}, ${
    formatSignificant(most.salience!)
  } times at ${
    formatRatioOf(most)
  }. A smaller budget asks for more salience, whatever the match with the query: the direction of ` +
    `Fig. 4, where the norm scorer falls from 0.72 to 0.65 as k goes from 2,048 to 1,536.${others}`;
}

function RecallFigure(
  { id, record, sweep, arm }: {
    id: string;
    record: RetrievalRecord;
    sweep: "salience" | "alignment";
    arm: string;
  },
): JSX.Element {
  const groups = sweepCurves(record, { sweep }).filter((group) => group.arm === arm);
  const styles = cycledStyles(groups.length);
  const varied = (cell: RetrievalCell) => sweep === "salience" ? cell.salience! : cell.margin;
  const values = ascending(groups.flatMap(({ cells }) => cells.map(varied)));
  const [low, high] = [values[0], values[values.length - 1]];
  const pad = 0.04 * (high - low || 1);
  const named = groups.map(({ k, cells }) => budgetName(k! / cells[0].context));
  const curves = groups.map(({ cells }, i): Curve => ({
    label: named[i],
    style: styles[i],
    points: cells.map((cell) => ({ x: varied(cell), y: cell.needleSelected / cell.trials })),
  }));
  const [{ cells: [{ margin, salience }] }] = groups;
  const fixed = sweep === "salience" ? `margin ${margin}` : `norm ${salience}`;
  const title = `${capital(armName(arm))}: needles selected, by ${
    sweep === "salience" ? "norm" : "margin"
  } at ${fixed}`;
  return (
    <Figure
      id={id}
      title={title}
      description={groups.map(({ cells }, i) =>
        `K/N = ${named[i]}: ${
          cells.map((cell) =>
            `${formatPercent(cell.needleSelected / cell.trials)} at ${varied(cell)}`
          ).join(", ")
        }.`
      ).join(" ")}
      width={360}
      height={290}
      compactHeight={280}
      draw={(size) => (
        <CurvePlot
          size={size}
          x={{
            label: sweep === "salience" ? "norm of the needle’s key, others 1" : "logit margin μ",
            domain: [low - pad, high + pad],
            ticks: sweep === "salience" ? evenTicks(low, high) : values.filter(Number.isInteger),
            format: String,
          }}
          y={{ ...RATE, label: "selected at full resolution" }}
          curves={curves}
        />
      )}
      legend={groups.map((_, i) => ({ label: `K/N ${named[i]}`, style: styles[i] }))}
      table={{
        caption: title,
        columns: [
          { title: "K/N" },
          { title: sweep === "salience" ? "Norm" : "Margin", numeric: true },
          { title: "Selected at full resolution", numeric: true },
          { title: "Decoded", numeric: true },
          { title: "Wilson 95 %", numeric: true },
          { title: "Attention mass", numeric: true },
          { title: "Error against dense", numeric: true },
        ],
        rows: groups.flatMap(({ cells }, i) =>
          cells.map((cell) => [
            named[i],
            String(varied(cell)),
            formatPercent(cell.needleSelected / cell.trials),
            `${formatCount(cell.correct)} of ${formatCount(cell.trials)}`,
            formatInterval([cell.low, cell.high], formatPercent),
            formatSignificant(cell.mass),
            formatSignificant(cell.outputError),
          ])
        ),
      }}
    />
  );
}

function StressBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const cells = record.cells.filter(({ sweep }) => sweep === "stress");
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

function LayerBlock({ record, prefix }: BlockProps): JSX.Element | null {
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
function PaperBlock({ record, prefix }: BlockProps): JSX.Element {
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

function marginAxis(values: readonly number[]): LinearAxis {
  const margins = ascending(values);
  return {
    label: "logit margin μ",
    domain: [margins[0] - 0.25, margins[margins.length - 1] + 0.25],
    ticks: margins.filter((margin) => Number.isInteger(margin)),
    format: String,
  };
}

/** A logarithmic axis over all decades of some shares, whose values are powers of ten. */
function decades(shares: readonly number[]): LinearAxis {
  const least = Math.min(...shares.filter((share) => share > 0), 0.1);
  const first = Math.floor(Math.log10(least));
  return {
    label: "share, logarithmic",
    domain: [first, 0],
    ticks: Array.from({ length: 1 - first }, (_, i) => first + i),
    format: (value) => `${Number((100 * 10 ** value).toPrecision(1))} %`,
  };
}

/** Four or five round ticks over a range. */
function evenTicks(low: number, high: number): number[] {
  const step = [0.1, 0.2, 0.25, 0.5, 1].find((size) => (high - low) / size <= 5) ?? high - low;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toFixed(6)));
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
  const margins = groups.flatMap(({ cells }) => cells.map((cell) => cell.margin));
  return (
    <Figure
      id={id}
      title={`Decoded digits against the needle’s margin, context ${formatContext(context)}`}
      description={groups.map(({ arm, cells }) =>
        `${armName(arm)}: ${
          cells.map((cell) => `${formatPercent(rateOf(cell))} at margin ${cell.margin}`).join(", ")
        }.`
      ).join(" ")}
      width={540}
      height={360}
      draw={(size) => (
        <CurvePlot
          size={size}
          x={marginAxis(margins)}
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
          { title: "against random", numeric: true },
        ],
        rows: groups.flatMap(({ arm, cells }) =>
          cells.map((cell) => [
            armName(arm),
            String(cell.margin),
            `${formatCount(cell.correct)} of ${formatCount(cell.trials)}`,
            formatInterval([cell.low, cell.high], formatPercent),
            lawText(record, cell),
            pairedText(cell, "dense"),
            pairedText(cell, "random"),
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

function pairedText({ paired }: RetrievalCell, rival: string): string {
  const found = paired.find((pair) => pair.with === rival);
  return found
    ? `+${found.onlyThis} −${found.onlyOther}, p = ${formatSignificant(found.probability)}`
    : ABSENT;
}

function lostText({ lost }: RetrievalCell): string {
  return [lost.needle, lost.query, lost.diluted].map(formatCount).join(", ");
}

/** Trials in which the needle was selected at some level; elsewhere rows are whole or absent. */
function anyLevel({ finestLevels, needleSelected }: RetrievalCell): string {
  return formatCount(finestLevels?.reduce((a, b) => a + b, 0) ?? needleSelected);
}

function shapeName({ levels, pooling }: { levels: number; pooling: number }): string {
  return `L = ${levels}, p = ${pooling}`;
}

function layerName({ lighthouse }: RetrievalCell): string {
  return lighthouse ? `${shapeName(lighthouse)}, k = ${formatCount(lighthouse.k)}` : ABSENT;
}

function budgetName(ratio: number): string {
  return `1/${formatSignificant(1 / ratio).replace(/\.0+$/, "")}`;
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

/** Context of the paper's models, by which their budgets become K/N. */
const FIGURE_CONTEXT = 98304;

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
  const guides = paper.retrieval.mean.flatMap(({ scorer, k, mean }) => {
    const at = k === null || scorer !== "norm" ? NaN : Math.log2(k / FIGURE_CONTEXT);
    return at >= first && at <= last
      ? [{ x: at, label: `Fig. 4, norm, k = ${formatCount(k!)}: ${mean.toFixed(2)}` }]
      : [];
  }).sort((a, b) => b.x - a.x);
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
          guides={size.compact ? [] : guides}
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
  return budgetName(ratio);
}

function Details({ record }: { record: RetrievalRecord }) {
  const others = record.instrument.filter(({ quantity }) =>
    quantity === "oracle" || quantity === "absent"
  );
  return (
    <>
      {others.length > 0 && (
        <details class="data">
          <summary>The oracle and chance against their laws</summary>
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
            rows={others.map((one) => [
              one.quantity === "oracle" ? "oracle keeps the needle" : "digit guessed, no needle",
              formatContext(one.context),
              String(one.margin),
              formatSignificant(one.measured),
              formatSignificant(one.law),
              formatInterval([one.low, one.high], formatSignificant),
              one.passed ? "yes" : "no",
            ])}
          />
        </details>
      )}
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
