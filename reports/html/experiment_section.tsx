/**
 * Training experiments: what was registered, what came out, and what that says at this scale.
 *
 * @module
 */
import type { JSX } from "preact";
import type { ExperimentRecord, Result } from "../../suites/result/result_schema.ts";
import {
  DifferenceCurves,
  type ExperimentFigureProps,
  FindingFigures,
  LossCurves,
} from "../charts/experiment_figures.tsx";
import { NeedleMaps } from "../charts/experiment_maps.tsx";
import { Table } from "../charts/figure.tsx";
import { sizeOf } from "../claims/experiment_finding.ts";
import { armTimes, RECOVERED, switchEffects } from "../data/experiment_curves.ts";
import {
  controlHolds,
  type Finding,
  judgeHypotheses,
  registeredOf,
  summarizeArms,
  tokenRates,
} from "../data/experiment_data.ts";
import { comparedText, differenceText } from "../text/experiment_text.ts";
import {
  ABSENT,
  formatCount,
  formatInterval,
  formatPercent,
  formatPlural,
  formatSeconds,
  formatTokenRate,
} from "../text/format.ts";
import { Power, Registration } from "./experiment_ground.tsx";
import { Block } from "./retrieval_block.tsx";
import type { Section } from "./section.tsx";

/** The section, or null if the result has no experiment. */
export function experimentSection(result: Result, prefix: string): Section | null {
  const record = result.experiment;
  if (!record) return null;
  const props = { record, prefix, described: result };
  return {
    id: `${prefix}experiment`,
    nav: "Training",
    content: (
      <>
        <h2>{record.title}</h2>
        <p class="lead">{leadText(record)}</p>
        {record.units.length > 0 && <Findings {...props} />}
        {record.units.length > 0 && <Arms record={record} />}
        {record.units.length > 0 && <Losses {...props} />}
        {testsNeedles(record) && <Needles {...props} />}
        {record.units.length > 0 && <Times record={record} />}
        <Power />
        <Registration record={record} />
      </>
    ),
  };
}

/** Whether any model was asked for needles. */
function testsNeedles({ units }: ExperimentRecord): boolean {
  return units.some(({ evaluations }) => evaluations.some(({ needles }) => needles.length > 0));
}

function leadText(record: ExperimentRecord): string {
  const { model, steps } = registeredOf(record);
  const seeds = new Set(record.units.map(({ seed }) => seed)).size;
  const { tokensPerStep = 0 } = record.units[0] ?? {};
  const size = `${model.layers} layers of width ${formatCount(model.width ?? 0)}, contexts of ${
    formatCount(model.context ?? 0)
  }, ${formatCount(steps.first + steps.resume)} steps of ${formatCount(tokensPerStep)} tokens`;
  if (record.units.length === 0) return "Nothing was trained in this run.";
  return `${formatPlural(record.units.length, "model")} with ${
    formatPlural(seeds, "seed")
  }: ${size}. This is ${
    sizeOf(record) ?? "a small part"
  } of the paper's model and far fewer tokens, so nothing here is a verdict on ` +
    "the paper's own numbers. Arms of one seed begin with the same weights and see the " +
    "same batches; every layer is dense after the switch, and in every evaluation." +
    baseText(record);
}

/** What all arms of a seed go on from, if it is no seeded model. */
function baseText(record: ExperimentRecord): string {
  const { base } = record.units.find(({ base }) => base !== undefined) ?? {};
  if (!base) return "";
  const [found] = summarizeArms(record, "base").flatMap(({ answers }) =>
    answers["one-needle"] ? [answers["one-needle"]] : []
  );
  return ` They do not begin from scratch: a dense model was trained for ${
    formatCount(base.steps)
  } steps at a context of ${
    formatCount(base.context)
  } first, and all arms of its seed go on from ` +
    `it${found ? `; it answers ${formatPercent(found.rate)} of the one-needle prompts` : ""}. ` +
    "The paper trains from scratch.";
}

function Findings(props: ExperimentFigureProps): JSX.Element {
  const { record } = props;
  const found = judgeHypotheses(record);
  const { stopping } = registeredOf(record);
  const tested = found.filter(({ worse }) => worse !== undefined);
  const text = found.length === 0
    ? "No hypothesis was registered: whatever is seen here is exploratory."
    : `${
      describeVerdicts(found)
    } A hypothesis is reproduced at this scale when the 95 % interval of ` +
      "the paired difference lies on its side of the margin, reversed when it lies on the other, else " +
      `undecided; with fewer than ${formatPlural(stopping.leastSeeds, "seed")} it is undecided. ` +
      controlText(record);
  return (
    <Block title="What came of the hypotheses" text={text}>
      {found.length > 0 && (
        <Table
          caption="Registered before the run"
          columns={[
            { title: "Hypothesis" },
            { title: "Claim" },
            { title: "Compared" },
            { title: "Found" },
            { title: "Verdict at this scale" },
          ]}
          rows={found.map((finding) => [
            finding.id,
            finding.claim,
            comparedText(finding),
            differenceText(finding),
            finding.verdict,
          ])}
        />
      )}
      {tested.length > 0 && <FindingFigures {...props} />}
    </Block>
  );
}

/** `2 reproduced, 1 undecided of 7.` */
export function describeVerdicts(found: readonly Finding[]): string {
  const counts = (["reproduced", "reversed", "undecided"] as const).flatMap((verdict) => {
    const count = found.filter((one) => one.verdict === verdict).length;
    return count > 0 ? [`${count} ${verdict}`] : [];
  });
  return `Of ${formatPlural(found.length, "hypothesis").replace(/hypothesiss$/, "hypotheses")}: ${
    counts.join(", ")
  }.`;
}

function controlText(record: ExperimentRecord): string {
  const holds = controlHolds(record);
  if (holds === undefined) return "";
  return holds
    ? "The control holds: with random scores a model retrieves worse, so the scorers were tested."
    : "The control does not hold: a model that selected at random was not shown to retrieve worse. " +
      "So this run does not show that scoring matters at this scale; the resume alone may teach " +
      "retrieval.";
}

function Arms({ record }: { record: ExperimentRecord }): JSX.Element {
  const [switches, ends] = (["switch", "end"] as const).map((when) => summarizeArms(record, when));
  const share = (rate?: { rate: number; low: number; high: number }) =>
    rate
      ? `${formatPercent(rate.rate)} (${formatInterval([rate.low, rate.high], formatPercent)})`
      : ABSENT;
  const best = ends.filter(({ loss }) => loss !== undefined).toSorted((a, b) => a.loss! - b.loss!);
  const text = best.length === 0
    ? "No model was trained to its end."
    : `The lowest held-out loss at the end is that of ${best[0].arm}, ${
      best[0].loss!.toFixed(4)
    } nats a token, the highest that of ${best[best.length - 1].arm}, ${
      best[best.length - 1].loss!.toFixed(4)
    }.` +
      (testsNeedles(record)
        ? " Shares of prompts come with Wilson's 95 % interval, which says nothing of other seeds."
        : "");
  const needles = testsNeedles(record);
  return (
    <Block title="Each arm before the dense resume and after it" text={text}>
      <Table
        caption="Means over seeds, every layer dense in the evaluation"
        columns={[
          { title: "Arm" },
          { title: "Seeds", numeric: true },
          { title: "Loss at the switch", numeric: true },
          { title: "Loss at the end", numeric: true },
          ...(needles
            ? [
              { title: "One needle at the switch", numeric: true },
              { title: "One needle at the end", numeric: true },
              { title: "With keys at the switch", numeric: true },
              { title: "With keys at the end", numeric: true },
            ]
            : []),
        ]}
        rows={ends.map(({ arm, seeds, loss, answers }, i) => [
          arm,
          String(seeds),
          switches[i].loss?.toFixed(4) ?? ABSENT,
          loss?.toFixed(4) ?? ABSENT,
          ...(needles
            ? [
              share(switches[i].answers["one-needle"]),
              share(answers["one-needle"]),
              share(switches[i].answers["keyed-needles"]),
              share(answers["keyed-needles"]),
            ]
            : []),
        ])}
      />
    </Block>
  );
}

function Losses(props: ExperimentFigureProps): JSX.Element {
  const effects = switchEffects(props.record);
  const never = effects.filter(({ recovery }) => recovery === null).length;
  const text =
    "Batches differ in what they hold, so single losses jump; the second figure takes the " +
    "loss of the dense model on the same batch away. " +
    (effects.length === 0
      ? "No arm has a dense model with its seed beside it, so the switch cannot be judged."
      : `At the switch to dense attention the loss of ${
        formatPlural(effects.length, "model")
      } changed by ${
        rangeOf(effects.map(({ spike, before }) => spike - before)).map(formatSigned).join(" to ")
      } nats; ${
        never === 0
          ? "all"
          : never === effects.length
          ? "none"
          : formatCount(effects.length - never)
      } came back to within ${RECOVERED} nats of where they were before it. This is a description, ` +
        "no hypothesis.");
  return (
    <Block title="Loss, the switch and the recovery" text={text}>
      <LossCurves {...props} />
      <DifferenceCurves {...props} />
      {effects.length > 0 && (
        <Table
          caption="Nats above the dense model with the same seed, on the same batches"
          columns={[
            { title: "Arm" },
            { title: "Seed", numeric: true },
            { title: "Before the switch", numeric: true },
            { title: "Spike", numeric: true },
            { title: "Steps to recover", numeric: true },
            { title: "At the end", numeric: true },
          ]}
          rows={effects.map(({ arm, seed, before, spike, recovery, end }) => [
            arm,
            String(seed),
            before.toFixed(4),
            spike.toFixed(4),
            recovery === null ? "not within the run" : formatCount(recovery),
            end.toFixed(4),
          ])}
        />
      )}
    </Block>
  );
}

/** `+0.417`, `−0.200`. */
function formatSigned(nats: number): string {
  return `${nats < 0 ? "−" : "+"}${Math.abs(nats).toFixed(3)}`;
}

function rangeOf(values: readonly number[]): [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

function Needles(props: ExperimentFigureProps): JSX.Element {
  const { arms } = registeredOf(props.record);
  const ends = summarizeArms(props.record, "end");
  const rate = (measure: "one-needle" | "keyed-needles") =>
    ends.flatMap(({ arm, answers }) => {
      const found = answers[measure];
      return found ? [`${arm} ${formatPercent(found.rate)}`] : [];
    }).join(", ");
  const rows = ends.map(({ arm, answers }) => {
    const { scorer, options, placement } = arms.find(({ name }) => name === arm) ?? {};
    return [
      arm,
      scorer ?? "none",
      options?.k === undefined ? ABSENT : formatCount(options.k),
      placement === undefined ? ABSENT : placement === "all" ? "all layers" : "all but the ends",
      ...(["one-needle", "keyed-needles"] as const).map((measure) => {
        const found = answers[measure];
        return found
          ? `${formatPercent(found.rate)} (${
            formatInterval([found.low, found.high], formatPercent)
          })`
          : ABSENT;
      }),
    ];
  });
  return (
    <Block
      title="Where trained models find needles"
      text={"Random alphanumeric filler hides =d; the prompt ends with = and the largest of the ten " +
        `digits' logits counts, as in the paper's Fig. 4. Chance is 10 %. Answered: ${
          rate("one-needle") || "not tested"
        }.`}
    >
      <NeedleMaps {...props} measure="one-needle" />
      <p>
        Several needles K:d have keys, and one is asked for by its key: a model that only remembers
        the latest digit fails here. Answered: {rate("keyed-needles") || "not tested"}.
      </p>
      <NeedleMaps {...props} measure="keyed-needles" />
      <Table
        caption="Answered at the end, by scorer, budget and placement; all seeds together"
        columns={[
          { title: "Arm" },
          { title: "Scorer" },
          { title: "k", numeric: true },
          { title: "Lighthouse in" },
          { title: "One needle", numeric: true },
          { title: "With keys", numeric: true },
        ]}
        rows={rows}
      />
    </Block>
  );
}

function Times({ record }: { record: ExperimentRecord }): JSX.Element {
  const { target, arms } = armTimes(record);
  return (
    <Block
      title="How fast they trained"
      text={arms.length === 0
        ? "No model was trained without an interruption."
        : "Wall-clock time of the steps, without evaluations. Models this small keep a large GPU " +
          "waiting for launches, so these rates say little about large ones. The common loss is what " +
          `every arm reaches over its last tenth: ${target.toFixed(4)} nats.`}
    >
      {arms.length > 0 && (
        <Table
          caption="Means over seeds"
          columns={[
            { title: "Arm" },
            { title: "Before the switch", numeric: true },
            { title: "After it", numeric: true },
            { title: "All steps", numeric: true },
            { title: "To the common loss", numeric: true },
          ]}
          rows={arms.map(({ arm, seconds, toTarget }) => {
            const { first, resume } = tokenRates(record, arm);
            return [
              arm,
              first === undefined ? ABSENT : formatTokenRate(first),
              resume === undefined ? ABSENT : formatTokenRate(resume),
              formatSeconds(seconds),
              toTarget === null ? "not by every seed" : formatSeconds(toTarget),
            ];
          })}
        />
      )}
    </Block>
  );
}
