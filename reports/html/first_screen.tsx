/**
 * The first screen: verdict, hardware notice, claims table.
 *
 * @module
 */
import type { ComponentChildren, JSX } from "preact";
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleLog } from "d3-scale";
import type { Result } from "../../suites/result/result_schema.ts";
import { isMeasured } from "../data/analysis.ts";
import {
  type ClaimRow,
  deviceName,
  formatQuantity,
  formatQuantityInterval,
  hardwareNotice,
  judgeClaims,
  PARTLY_FROM,
  REPRODUCED_FROM,
  type Verdict,
  VERDICT_RULE,
  verdictLine,
} from "../claims/claims.ts";
import { ABSENT, formatInstant, formatPlural } from "../text/format.ts";
import { coordinate } from "../charts/drawing.ts";

/** The verdict in one line, what ran, and how the hardware differs. */
export function Masthead({ result, level }: { result: Result; level: 1 | 2 }): JSX.Element {
  const Heading = level === 1 ? "h1" : "h2";
  const notice = hardwareNotice(result);
  const count = (status: string) => result.cases.filter((one) => one.status === status).length;
  const measured = result.cases.filter(isMeasured).length;
  const facts = [
    deviceName(result),
    `stack ${result.stack}`,
    `profile ${result.profile}`,
    formatInstant(result.startedAt),
    `${formatPlural(measured, "case")} measured`,
    ...(count("skipped") > 0 ? [`${count("skipped")} skipped`] : []),
    ...(count("failed") > 0 ? [`${count("failed")} failed`] : []),
    ...(count("inconclusive") > 0 ? [`${count("inconclusive")} inconclusive`] : []),
  ];
  return (
    <>
      <Heading class="verdict">{verdictLine(result)}</Heading>
      <p class="facts">{facts.map((fact) => <span>{fact}</span>)}</p>
      <p class={`notice ${notice.level}`} role="note">{notice.text}</p>
      {result.finishedAt === null && (
        <p class="notice different" role="note">
          This run was cut short; the cases that had finished are kept.
        </p>
      )}
      {count("failed") > 0 && (
        <p class="notice failed" role="note">
          {formatPlural(count("failed"), "case")} failed and{" "}
          {count("failed") === 1 ? "has" : "have"}{" "}
          no time. The reasons are listed under “Skipped and failed”.
        </p>
      )}
    </>
  );
}

/** The claims table with its three groups. */
export function ClaimsTable({ result }: { result: Result }): JSX.Element {
  const rows = judgeClaims(result);
  const groups: [string, ClaimRow[]][] = [
    ["What this suite can measure", rows.filter(({ command }) => command !== null)],
    [
      "What it cannot, for want of training",
      rows.filter(({ command, verdict }) => command === null && verdict === "not run"),
    ],
    [
      "Said of the paper elsewhere",
      rows.filter(({ verdict }) => verdict === "not the paper's claim"),
    ],
  ];
  return (
    <>
      <table class="claims">
        <caption class="visually-hidden">
          Claims of the paper, its values, the values of this run, and the verdict
        </caption>
        <thead>
          <tr>
            <th scope="col">Claim</th>
            <th scope="col">Paper</th>
            <th scope="col">Here</th>
            <th scope="col">Here ÷ paper</th>
            <th scope="col">Verdict</th>
          </tr>
        </thead>
        {groups.filter(([, rows]) => rows.length > 0).map(([title, rows]) => (
          <tbody>
            <tr class="group">
              <th colSpan={5} scope="rowgroup">{title}</th>
            </tr>
            {rows.map((row) => <Claim row={row} />)}
          </tbody>
        ))}
      </table>
      <p class="source">{VERDICT_RULE}</p>
    </>
  );
}

/** A verdict as shape and word. */
export function VerdictMark({ verdict }: { verdict: Verdict }): JSX.Element {
  const drawings: Record<Verdict, ComponentChildren> = {
    "reproduced": <circle r="5" class="filled" />,
    "partly": (
      <>
        <circle r="4.4" class="open" />
        <path d="M0,-4.4A4.4,4.4 0 0 1 0,4.4Z" class="filled" />
      </>
    ),
    "not reproduced": <path d="M-4,-4L4,4M4,-4L-4,4" class="open" />,
    "not run": <circle r="4.2" class="open dashed" />,
    "not the paper's claim": <path d="M-5,0H5" class="open" />,
  };
  return (
    <span class={`mark-${verdict.replace(/[^a-z]+/g, "-")} verdict-mark`}>
      <svg viewBox="-7 -7 14 14" width="14" height="14" aria-hidden="true">{drawings[verdict]}</svg>
      {verdict}
    </span>
  );
}

function Claim({ row }: { row: ClaimRow }): JSX.Element {
  const { ours } = row;
  const interval = ours === null ? null : formatQuantityInterval(ours);
  const why = <span class="why">{row.why}</span>;
  return (
    <tr>
      <th scope="row">
        <span class="claim">{row.claim}</span>
        {ours !== null && why}
        <span class="more">
          {row.details.length > 0 && (
            <details>
              <summary>{row.id === "growth" ? "Each context" : "The paper’s rows"}</summary>
              <dl class="pairs">
                {row.details.map(({ label, paper }) => (
                  <>
                    <dt>{label}</dt>
                    <dd>{paper}</dd>
                  </>
                ))}
              </dl>
            </details>
          )}
          {row.command !== null && (
            <details class="rerun">
              <summary>{row.verdict === "not run" ? "Run it" : "Run it again"}</summary>
              <code>{row.command}</code>
            </details>
          )}
        </span>
      </th>
      <td data-label="Paper">
        <span class="quantity">{row.paper.text}</span>
        <span class="aside">{row.paper.hardware}</span>
      </td>
      {ours === null
        ? (
          <td data-label="Here" colSpan={2}>
            {row.nearest !== null && (
              <span class="nearest">
                Nearest point{row.software ? ", on a software adapter" : ""}: {row.nearest}
              </span>
            )}
            {why}
          </td>
        )
        : (
          <>
            <td data-label="Here">
              <span class={ours.note === undefined ? "quantity ours" : "quantity"}>
                {formatQuantity(ours)}
              </span>
              {interval !== null && <span class="aside">{interval}</span>}
              {row.software && <span class="aside">on a software adapter</span>}
            </td>
            <td data-label="Here ÷ paper">
              {row.ratio === null ? <span class="absent">{ABSENT}</span> : <Share row={row} />}
            </td>
          </>
        )}
      <td data-label="Verdict">
        <VerdictMark verdict={row.verdict} />
      </td>
    </tr>
  );
}

/** Our value against the paper's on a small logarithmic scale, the paper at 1. */
function Share({ row }: { row: ClaimRow }): JSX.Element {
  const ratio = row.ratio!;
  const x = scaleLog().domain([0.1, 3]).range([4, 108]).clamp(true);
  const at = (value: number) => coordinate(x(value));
  const { low, high } = row.ours!;
  const paper = row.paper.value!;
  return (
    <span class="share">
      <span class="quantity">{ratio.toFixed(2)}</span>
      <svg viewBox="0 0 112 22" width="112" height="22" aria-hidden="true">
        <line class="rail" x1="4" x2="108" y1="14" y2="14" />
        {row.ours!.unit === "ratio" &&
          [PARTLY_FROM, REPRODUCED_FROM].map((from) => (
            <line class="rail" x1={at(from)} x2={at(from)} y1="11" y2="17" />
          ))}
        <line class="paper" x1={at(1)} x2={at(1)} y1="6" y2="22" />
        {low !== null && high !== null && (
          <line class="interval" x1={at(low / paper)} x2={at(high / paper)} y1="14" y2="14" />
        )}
        <circle class="ours" cx={at(ratio)} cy="14" r="4.5" />
      </svg>
    </span>
  );
}
