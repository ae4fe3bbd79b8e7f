/**
 * The samples of each case: their spread around the median, the first compared with the later ones, and
 * all of them in the order of measuring.
 *
 * @module
 */
import type { JSX } from "preact";
import type { CaseRecord, Result, Statistic } from "../../suites/result/result_schema.ts";
import { isMeasured } from "../data/cases.ts";
import { largest } from "../data/extremes.ts";
import { spreadOf } from "../data/spread.ts";
import { deviceReadings } from "../data/device_readings.ts";
import { coolAndSteady, orderedSamples } from "../data/cool_and_steady.ts";
import {
  ABSENT,
  formatCount,
  formatEnergy,
  formatPercent,
  formatPlural,
  formatRatio,
  formatSeconds,
} from "../text/format.ts";
import { Table } from "../charts/figure.tsx";
import { sampleReach, SampleStrip } from "../charts/sample_strip.tsx";
import { CaseName } from "./case_name.tsx";
import type { Section } from "./section.tsx";

/** Cases that are drawn without a click. */
const SHOWN = 12;
/** Cases whose samples are drawn and listed: the result file has every one. */
const MOST_DRAWN = 400;

/** The section, or null if the result has no data for it. */
export function sampleSection(result: Result, prefix: string): Section | null {
  const sampled = result.cases.filter(({ samples }) => samples.length > 0);
  if (sampled.length === 0) return null;
  // Charts link to one place for each case, even if it was measured twice.
  const firsts = new Set(
    new Map(sampled.toReversed().map((record) => [record.id, record])).values(),
  );
  const count = sampled.reduce((sum, { samples }) => sum + samples.length, 0);
  const timed = sampled.filter(isMeasured);
  const listed = sampled.slice(0, MOST_DRAWN);
  const strips: Strips = {
    firsts,
    prefix,
    drawn: new Set(timed.slice(0, MOST_DRAWN)),
    reach: sampleReach(timed.slice(0, MOST_DRAWN)),
  };
  const { reach } = strips;
  return {
    id: `${prefix}samples`,
    nav: "Samples",
    content: (
      <div class="screen-only">
        <h2>How the samples of each case lie</h2>
        {timed.length > 0 && (
          <>
            <p class="lead">
              A dot is one sample, its place its time over the median of its case, from{" "}
              {formatRatio(1 / reach)} to{" "}
              {formatRatio(reach)}; a dot at an end lies beyond it. The band is the 95 % interval,
              or the range of fewer than six samples; a cross is a sample that the clock or an
              interruption spoiled, which no number counts. A case at its device’s power limit may
              lower the clock itself: its samples count, at that clock.
            </p>
            <StripTable cases={timed.slice(0, SHOWN)} {...strips} />
          </>
        )}
        {timed.length > SHOWN && (
          <details class="data">
            <summary>{formatPlural(timed.length - SHOWN, "further case")}</summary>
            <StripTable cases={timed.slice(SHOWN)} {...strips} />
          </details>
        )}
        <details class="data">
          <summary>
            {formatPlural(count, "sample")} of{" "}
            {formatPlural(sampled.length, "case")}, in the order of measuring
            {listed.length < sampled.length
              ? `: the first ${formatCount(listed.length)} cases`
              : ""}
          </summary>
          <Table
            caption="GPU milliseconds of each execution in the order of measuring; * marks a sample that is kept but left out of the statistic, † one at the device’s power limit"
            columns={[{ title: "Case" }, { title: "Samples, ms" }]}
            rows={listed.map((record) => [
              <CaseName record={record} />,
              orderedSamples(record).map(({ seconds, flag, atPowerLimit }) =>
                `${Number((seconds * 1e3).toPrecision(5))}${flag === undefined ? "" : "*"}${
                  atPowerLimit ? "†" : ""
                }`
              ).join("  "),
            ])}
          />
        </details>
      </div>
    ),
  };
}

/** Shared by the tables of strips. */
interface Strips {
  /** Of several records of one case, the one that charts link to. */
  firsts: ReadonlySet<CaseRecord>;
  /** Prefix of the ids that charts link to. */
  prefix: string;
  drawn: ReadonlySet<CaseRecord>;
  /** Factor at either end of the strips. */
  reach: number;
}

type Timed = CaseRecord & { statistic: Statistic };

function StripTable(
  { cases, firsts, prefix, drawn, reach }: Strips & { cases: readonly Timed[] },
): JSX.Element {
  const told = cases.some((record) => {
    const { clockMHz, powerWatts } = deviceReadings(record);
    return clockMHz !== null || powerWatts !== null;
  });
  return (
    <Table
      caption="Samples of each case over their median, the first sample, and the median of those after it"
      columns={[
        { title: "Case" },
        { title: "Samples ÷ median" },
        { title: "Farthest", numeric: true },
        { title: "n", numeric: true },
        { title: "First sample", numeric: true },
        { title: "Steady state", numeric: true },
        { title: "First ÷ steady", numeric: true },
        ...(told
          ? ["Clock", "Power", "Energy of a token"].map((title) => ({ title, numeric: true }))
          : []),
      ]}
      rows={cases.map((record) => {
        const { first, steady } = coolAndSteady(record)!;
        return [
          <CaseName
            record={record}
            id={firsts.has(record) ? `${prefix}${record.id}` : undefined}
          />,
          drawn.has(record)
            ? (
              <SampleStrip
                samples={record.samples}
                statistic={{ ...record.statistic, ...spreadOf(record.statistic) }}
                reach={reach}
              />
            )
            : ABSENT,
          farthest(record),
          formatCount(record.statistic.count),
          formatSeconds(first),
          steady === null ? ABSENT : formatSeconds(steady),
          steady === null || steady === 0 ? ABSENT : formatRatio(first / steady),
          ...(told ? deviceCells(record) : []),
        ];
      })}
    />
  );
}

/** Clock, power and energy per token, if the device reported them. */
function deviceCells(record: CaseRecord): string[] {
  const { clockMHz, powerWatts, joulesPerToken, atPowerLimit } = deviceReadings(record);
  return [
    clockMHz === null ? ABSENT : `${formatCount(clockMHz)} MHz`,
    powerWatts === null
      ? ABSENT
      : `${formatCount(powerWatts)} W${atPowerLimit ? ", its limit" : ""}`,
    joulesPerToken === null ? ABSENT : formatEnergy(joulesPerToken),
  ];
}

/** Largest distance of a sample from the median. */
function farthest({ samples, statistic: { median } }: Timed): string {
  const counted = samples.filter(({ flag }) => flag === undefined);
  return counted.length === 0
    ? ABSENT
    : formatPercent(largest(counted.map(({ seconds }) => Math.abs(seconds / median - 1))));
}
