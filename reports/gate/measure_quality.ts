/**
 * The quality of the gate between two files: the content of `fixtures/gate/quality.json`, and its tables
 * in GATE.md.
 *
 * @module
 */
import recorded from "../../fixtures/gate/software_runs.json" with { type: "json" };
import {
  BEYOND,
  CONTEXTS,
  GRID,
  HISTORY,
  type MachineNoise,
  measureQuality,
  measureSetting,
  NOISES_BEYOND,
  ONE_KIND,
  type QualityRow,
  recordedPairs,
  type Setting,
} from "./_quality.ts";
import { LIMIT_CONFIDENCE, markdownTable, percent, rateOf, whole } from "./quality_table.ts";

/** A row with its setting. */
export type SettingRow = Setting & QualityRow;

/** The content of `fixtures/gate/quality.json`. */
export interface Quality {
  /** Settings for which the stated bound holds. */
  readonly grid: readonly SettingRow[];
  /** Settings with one kind of cases. */
  readonly oneKind: readonly SettingRow[];
  /** Settings beyond the bound. */
  readonly beyond: readonly SettingRow[];
  /** Recorded runs in all pairs, without and with the other runs as earlier ones. */
  readonly recorded: readonly (QualityRow & { readonly history: number })[];
}

/** Comparisons of two runs in each setting, and in those of one kind, which are few and near 1 %. */
const RUNS = { grid: 400, oneKind: 1600, beyond: 400 } as const;

/** Measures everything, with fixed seeds. */
export function measureAll(say: (line: string) => void = () => {}): Quality {
  const total = GRID.length + ONE_KIND.length + BEYOND.length;
  let done = 0;
  const measure = (settings: readonly Setting[], runs: number): SettingRow[] =>
    settings.map((setting) => {
      if (done++ % 10 === 0) say(`gate-quality: setting ${done} of ${total}`);
      return { ...setting, ...measureSetting(setting, { runs }) };
    });
  return {
    grid: measure(GRID, RUNS.grid),
    oneKind: measure(ONE_KIND, RUNS.oneKind),
    beyond: measure(BEYOND, RUNS.beyond),
    recorded: [false, true].map((history) => ({
      history: history ? recorded.runs.length - 2 : 0,
      ...measureQuality(recordedPairs(recorded, { history })),
    })),
  };
}

function alarmsOf(rows: readonly QualityRow[]) {
  const of = (row: keyof Pick<QualityRow, "cases" | "falseCases">) =>
    rows.reduce((sum, one) => sum + one[row], 0);
  const found = rateOf(rows.map(({ runs, falseAlarms }) => ({ runs, alarms: falseAlarms })));
  return { ...found, caseRate: of("falseCases") / of("cases") };
}

function nameOf({ within, between, drift, unseen }: MachineNoise): string {
  const parts = [`${100 * within} % within`, `${100 * between} % between`];
  if (unseen > 0.005) parts.push(`whole runs ${100 * unseen} %`);
  if (drift > 0) parts.push(`drift ±${100 * drift} %`);
  return parts.join(", ");
}

/** Rows of a number of contexts and a shift between runs, over all other noise. */
function groupsOf(
  { grid }: Quality,
): { contexts: number; between: number; rows: readonly SettingRow[] }[] {
  const shifts = [...new Set(grid.map(({ between }) => between))];
  return CONTEXTS.flatMap((contexts) =>
    shifts.map((between) => ({
      contexts,
      between,
      rows: grid.filter((row) => row.contexts === contexts && row.between === between),
    }))
  );
}

/** The sentence with the bound, and the contexts that it holds for. */
export function describeBound(quality: Quality): string {
  const limits = groupsOf(quality).map(({ rows }) => alarmsOf(rows).limit);
  const contexts = `${CONTEXTS.slice(0, -1).join(", ")} and ${CONTEXTS.at(-1)}`;
  return `**At most ${percent(Math.max(...limits))} of comparisons have a false alarm** in any ` +
    `case, at ${contexts} contexts of two kinds each: the largest of the upper ${
      whole(LIMIT_CONFIDENCE)
    } limits below.`;
}

/** The tables of GATE.md, as markdown. */
export function renderQuality(quality: Quality): string {
  const { grid, oneKind, beyond, recorded } = quality;
  const alarms = groupsOf(quality).map(({ contexts, between, rows }) => {
    const found = alarmsOf(rows);
    const alarmsAt = (history: number) =>
      String(alarmsOf(rows.filter((row) => row.history === history)).alarms);
    return [
      String(contexts),
      `${100 * between} %`,
      String(found.runs),
      alarmsAt(0),
      alarmsAt(HISTORY),
      percent(found.rate),
      percent(found.limit),
      percent(found.caseRate, 3),
    ];
  });
  const shown = [
    { within: 0.005, between: 0.005, drift: 0 },
    { within: 0.005, between: 0.02, drift: 0 },
    { within: 0.02, between: 0.02, drift: 0 },
    { within: 0.005, between: 0.005, drift: 0.05 },
  ];
  const sizes = ["5 %", "10 %", "20 %", "50 %"];
  const slowdowns = [2, 7].flatMap((contexts) =>
    [0, HISTORY].flatMap((history) =>
      shown.map((noise) => {
        const row = grid.find((row) =>
          row.contexts === contexts && row.history === history && row.within === noise.within &&
          row.between === noise.between && row.drift === noise.drift
        )!;
        return [
          nameOf({ ...noise, unseen: 0 }),
          String(contexts),
          String(history),
          `±${percent(row.medianThreshold, 1)}`,
          whole(row.inconclusive / row.runs),
          ...sizes.map((size) => whole(row.detection.one[size])),
          ...sizes.slice(0, 3).map((size) => whole(row.detection.all[size])),
        ];
      })
    )
  );
  const edges = NOISES_BEYOND.map((noise) => [
    nameOf(noise),
    ...[0, HISTORY].flatMap((history) =>
      [2, 7].map((contexts) => {
        const row = beyond.find((row) =>
          row.contexts === contexts && row.history === history && nameOf(row) === nameOf(noise)
        )!;
        return percent(row.falseAlarms / row.runs, 1);
      })
    ),
  ]);
  const alone = [0, HISTORY].map((history) => [
    String(history),
    ...CONTEXTS.map((contexts) => {
      const row = oneKind.find((row) => row.contexts === contexts && row.history === history)!;
      return `${percent(row.falseAlarms / row.runs, 2)}, ${whole(row.detection.one["20 %"])}`;
    }),
  ]);
  const software = recorded.map((row) => [
    String(row.history),
    String(row.runs),
    `${row.falseAlarms} (${percent(row.falseAlarms / row.runs, 1)})`,
    whole(row.inconclusive / row.runs),
    `±${whole(row.medianThreshold)}`,
    ...["20 %", "50 %"].map((size) => whole(row.detection.all[size])),
  ]);
  return [
    describeBound(quality),
    markdownTable([
      "Contexts",
      "Between runs",
      "Comparisons",
      "False alarms, no earlier runs",
      `${HISTORY} earlier runs`,
      "Rate",
      "At most",
      "Of single cases",
    ], alarms),
    "Slowdowns found of one case (1) and in any case when all are slowed (all):",
    markdownTable([
      "Noise",
      "Contexts",
      "Earlier runs",
      "Threshold",
      "Inconclusive",
      ...sizes.map((size) => `${size} (1)`),
      ...sizes.slice(0, 3).map((size) => `${size} (all)`),
    ], slowdowns),
    "Beyond the bound, false alarms at 2 and 7 contexts, without and with earlier runs:",
    markdownTable(
      ["Noise", "2, none", "7, none", `2, ${HISTORY} runs`, `7, ${HISTORY} runs`],
      edges,
    ),
    "One kind of cases alone, 0.5 % within and 2 % between: false alarms, and 20 % found of one case:",
    markdownTable(["Earlier runs", ...CONTEXTS.map((contexts) => `${contexts} contexts`)], alone),
    "Eight recorded runs on a software adapter of two busy cores, in all 28 pairs, which are not " +
    "independent:",
    markdownTable([
      "Earlier runs",
      "Comparisons",
      "False alarms",
      "Inconclusive",
      "Threshold",
      "20 % (all)",
      "50 % (all)",
    ], software),
  ].join("\n\n");
}
