/**
 * The retrieval section's first block: laws of dense attention and the measurements.
 *
 * @module
 */
import type { JSX } from "preact";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatInterval,
  formatPercent,
  formatPlural,
  formatSignificant,
} from "../text/format.ts";
import { spreadOut } from "../data/extremes.ts";
import { ascending } from "../data/retrieval_data.ts";
import { Figure } from "../charts/figure.tsx";
import { cycledStyles } from "../charts/palette.ts";
import { Block, type BlockProps, decades, marginAxis, RATE } from "./retrieval_block.tsx";
import { type Curve, CurvePlot } from "../charts/curve_plot.tsx";
import { instrumentData } from "./retrieval_export.ts";
import { unbroken } from "./section.tsx";
import { largest } from "../data/extremes.ts";

/** Contexts that a drawing shows; the table has all. */
const MOST_CONTEXTS = 4;

const QUANTITIES = [
  { quantity: "largest", law: "largest", title: "The needle’s logit is the largest" },
  { quantity: "mass", law: "mass", title: "Attention mass on the needle" },
  { quantity: "accuracy", law: "accuracy", title: "Digit decoded, dense attention" },
] as const;

/** Laws and measurements. */
export function InstrumentBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const { instrument, confidence } = record;
  if (record.cells.length === 0) return null;
  const failed = instrument.filter(({ passed }) => !passed).length;
  const mass = instrument.filter(({ quantity }) => quantity === "mass");
  const worst = largest(mass.map(({ measured, law }) => Math.abs(measured / law - 1)));
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
              data={instrumentData(own)}
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
