/**
 * The tables of the paired gate's quality in GATE.md.
 *
 * @module
 */
import {
  LIMIT_CONFIDENCE,
  markdownTable,
  percent,
  rateOf,
  whole,
} from "../../../reports/gate/quality_table.ts";
import { MOST_BLOCKS, type PairedQuality } from "./paired_quality.ts";

/** Bound and tables, as markdown. */
export function renderPairedQuality({ grid, recorded }: PairedQuality): string {
  const last = grid.filter(({ blocks }) => blocks === MOST_BLOCKS);
  const contexts = [...new Set(last.map((row) => row.contexts))];
  const rates = contexts.map((count) =>
    rateOf(
      last.filter((row) => row.contexts === count)
        .map(({ studies, falseAlarms }) => ({ runs: studies, alarms: falseAlarms })),
    )
  );
  const limit = Math.max(...rates.map((rate) => rate.limit));
  const sizes = ["2 %", "5 %", "10 %", "20 %"];
  const found = ["one", "all"] as const;
  const noises = [...new Map(last.map((row) => [`${row.turn} ${row.process} ${row.drift}`, row]))
    .values()].filter(({ drift }) => drift > 0);
  return [
    `**At most ${percent(limit)} of gate runs have a false alarm** in any case, at ${
      contexts.slice(0, -1).join(", ")
    } and ${contexts.at(-1)} contexts of two kinds each and up to ${MOST_BLOCKS} pairs of ` +
    `processes: the largest of the upper ${whole(LIMIT_CONFIDENCE)} limits, ${
      rates.map(({ alarms, runs }) => `${alarms} of ${runs}`).join(", ")
    } runs.`,
    markdownTable(
      [
        "Noise: single turns, processes, drift",
        "Contexts",
        "Pairs of processes, at most",
        ...sizes.map((size) => `${size} (1)`),
        ...sizes.slice(0, 3).map((size) => `${size} (all)`),
      ],
      noises.flatMap((noise) =>
        [2, 7].flatMap((count) =>
          grid.filter((row) =>
            row.contexts === count && row.turn === noise.turn && row.process === noise.process &&
            row.drift === noise.drift && row.blocks !== 12
          ).map((row) => [
            `${100 * row.turn} %, ${100 * row.process} %, ±${100 * row.drift} %`,
            String(count),
            String(row.blocks),
            ...sizes.map((size) => whole(row.detection.one[size])),
            ...sizes.slice(0, 3).map((size) => whole(row.detection.all[size])),
          ])
        )
      ),
    ),
    "Recorded turns on a software adapter of two busy cores, five cases:",
    markdownTable(
      [
        "Pairs of processes, at most",
        "Runs",
        "False alarms",
        "Inconclusive",
        ...["10 %", "20 %", "50 %"].flatMap((size) =>
          found.map((target) => `${size} (${target === "one" ? "1" : "all"})`)
        ),
      ],
      recorded.map((row) => [
        String(row.blocks),
        String(row.studies),
        `${row.falseAlarms} (${percent(row.falseAlarms / row.studies, 1)})`,
        whole(row.inconclusive / row.studies),
        ...["10 %", "20 %", "50 %"].flatMap((size) =>
          found.map((target) => whole(row.detection[target][size]))
        ),
      ]),
    ),
  ].join("\n\n");
}
