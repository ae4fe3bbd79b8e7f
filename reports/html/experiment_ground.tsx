/**
 * What stands behind a training experiment: the power of the paper's own evidence, and what was
 * registered.
 *
 * @module
 */
import type { JSX } from "preact";
import type { ExperimentRecord } from "../../suites/result/result_schema.ts";
import { Table } from "../charts/figure.tsx";
import { paperShares, paperTrials } from "../claims/paper_power.ts";
import { registeredOf } from "../data/experiment_data.ts";
import { ABSENT, formatCount, formatInterval } from "../text/format.ts";
import { Block } from "./retrieval_block.tsx";

/** What the paper's own shares can tell apart. */
export function Power(): JSX.Element {
  const trials = paperTrials();
  const shares = paperShares();
  const apart = shares.filter(({ separable }) => separable);
  const name = ({ scorer, k }: { scorer: string; k: number | null }) =>
    k === null ? "dense attention (SDPA)" : `${scorer}, k = ${formatCount(k)}`;
  return (
    <Block
      title="How much the paper's own evidence can tell apart"
      text={`Each share of Fig. 4 rests on ${trials} prompts and one training seed. Chance between ` +
        `prompts alone makes the intervals below; only ${
          apart.map(name).join(" and ") || "none"
        } differs from dense by more. What another seed would change is not known. Its losses, about ` +
        "0.03 below dense, are of single training steps and one seed each."}
    >
      <Table
        caption={`Fig. 4 with Wilson's 95 % intervals of ${trials} prompts`}
        columns={[
          { title: "Model" },
          { title: "Paper", numeric: true },
          { title: "95 %", numeric: true },
          { title: "Apart from dense" },
        ]}
        rows={shares.map((one) => [
          name(one),
          one.share.toFixed(2),
          formatInterval([one.low, one.high], (share) => share.toFixed(2)),
          one.k === null ? ABSENT : one.separable ? "yes" : "no",
        ])}
      />
    </Block>
  );
}

/** The registration, deviations, data and check. */
export function Registration({ record }: { record: ExperimentRecord }): JSX.Element {
  const { registration, data, check } = record;
  const { hash, registered, deviations } = registration;
  const { stopping } = registeredOf(record);
  const facts = [
    [
      "Experiment",
      `${record.name}, SHA-256 ${hash.slice(0, 16)}…${
        registered ? ", one of the committed ones" : ", not one of the committed ones"
      }`,
    ],
    ["Rule for stopping", stopping.rule],
    [
      "Text",
      data.corpus
        ? `a corpus of ${formatCount(data.corpus.bytes)} bytes, SHA-256 ${
          data.corpus.sha256.slice(0, 16)
        }…; the last ${formatCount(data.corpus.heldOutBytes)} are held out`
        : "a synthetic language: it shows learning, and is no measure of real text",
    ],
    ["Digest of the data", `${data.digest.slice(0, 16)}…`],
    [
      "Check of the evaluation",
      check
        ? `${check.passed ? "passed" : "FAILED"}: ${check.detail}; ${
          check.maxError.toPrecision(2)
        } nats at most, ${check.tolerance.toPrecision(2)} allowed`
        : "not done",
    ],
  ];
  return (
    <Block
      title="What was registered, and in what this run differs"
      text={deviations.length === 0
        ? "The run did what was registered."
        : `The run differs: ${deviations.join("; ")}.`}
    >
      <dl class="pairs">
        {facts.filter(([, text]) => text !== "").map(([name, text]) => (
          <>
            <dt>{name}</dt>
            <dd>{text}</dd>
          </>
        ))}
      </dl>
    </Block>
  );
}
