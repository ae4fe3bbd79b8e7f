/**
 * The first screen: scoreboard, headline, sources, hero chart.
 *
 * @module
 */
import type { ComponentChildren, JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import { isMeasured } from "../data/cases.ts";
import {
  type ClaimRow,
  deviceName,
  fastestDenseLine,
  hardwareNotice,
  judgeClaims,
  type Verdict,
  verdictLine,
} from "../claims/claims.ts";
import { scoreboardOf } from "../claims/scoreboard.ts";
import { sources } from "../claims/sources.ts";
import { formatCount, formatInstant, formatPlural } from "../text/format.ts";
import { Glossary } from "./glossary.tsx";
import { together } from "./text_parts.tsx";

/** The scoreboard, the headline, the run, how the hardware differs, and further links. */
export function Masthead({ result, prefix, level, hero, methodHref }: {
  result: Result;
  /** Prefix of the ids of the result's sections. */
  prefix: string;
  level: 1 | 2;
  /** The first chart of the report. */
  hero?: ComponentChildren;
  /** Where the method is explained, if not in the repository. */
  methodHref?: string;
}): JSX.Element {
  const Heading = level === 1 ? "h1" : "h2";
  const notice = hardwareNotice(result);
  const count = (status: string) => result.cases.filter((one) => one.status === status).length;
  const measured = result.cases.filter(isMeasured).length;
  const facts = [
    deviceName(result),
    `stack ${result.stack}`,
    `profile ${result.profile}`,
    formatInstant(result.startedAt),
    ...(measured > 0 || !(result.retrieval || result.experiment)
      ? [`${formatPlural(measured, "case")} measured`]
      : []),
    ...(count("skipped") > 0 ? [`${formatCount(count("skipped"))} skipped`] : []),
    ...(count("failed") > 0 ? [`${formatCount(count("failed"))} failed`] : []),
    ...(count("inconclusive") > 0 ? [`${formatCount(count("inconclusive"))} inconclusive`] : []),
  ];
  const beside = fastestDenseLine(result);
  const rows = judgeClaims(result);
  return (
    <>
      {rows.some(({ ours, nearest }) => ours !== null || nearest !== null) &&
        <ScoreLine rows={rows} />}
      <Heading class="verdict">{together(verdictLine(result))}</Heading>
      {beside !== null && <p class="deck">{together(beside)}</p>}
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
          {count("failed") === 1 ? "has" : "have"} no time.{" "}
          <a href={`#${prefix}missing`}>The reasons</a>
        </p>
      )}
      {level === 1 && (
        <div class="pointers">
          <Glossary result={result} />
          <ul class="sources">
            {sources(result.tool).map(({ title, href }, i, all) => {
              const to = i === all.length - 1 ? href ?? methodHref : href;
              return (
                <li>
                  {to ? <a href={to} rel="noopener noreferrer">{title}</a> : title}
                </li>
              );
            })}
          </ul>
        </div>
      )}
      {hero}
    </>
  );
}

/** Numbers of verdicts, in the order of the scoreboard. */
function ScoreLine({ rows }: { rows: readonly ClaimRow[] }): JSX.Element {
  const { judgeable, verdicts, beyond } = scoreboardOf(rows);
  const reproduced = verdicts.find(({ verdict }) => verdict === "reproduced")?.count ?? 0;
  return (
    <p class="scoreboard">
      <span class="score">
        <strong>{reproduced} of {judgeable}</strong> claims reproduced
      </span>
      {verdicts.filter(({ verdict }) => verdict !== "reproduced").map(({ verdict, count }) => (
        <span class="score">
          <VerdictShape verdict={verdict} />
          <strong>{count}</strong> {verdict}
        </span>
      ))}
      {beyond > 0 && <span class="score beyond">{beyond} more need training runs</span>}
    </p>
  );
}

/** A verdict as shape and word. */
export function VerdictMark({ verdict }: { verdict: Verdict }): JSX.Element {
  return (
    <span class={`${markClass(verdict)} verdict-mark`}>
      <Shape verdict={verdict} />
      {verdict}
    </span>
  );
}

/** The shape of a verdict alone. */
function VerdictShape({ verdict }: { verdict: Verdict }): JSX.Element {
  return (
    <span class={`${markClass(verdict)} verdict-mark`}>
      <Shape verdict={verdict} />
    </span>
  );
}

function markClass(verdict: Verdict): string {
  return `mark-${verdict.replace(/[^a-z]+/g, "-")}`;
}

function Shape({ verdict }: { verdict: Verdict }): JSX.Element {
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
    <svg viewBox="-7 -7 14 14" width="14" height="14" aria-hidden="true">{drawings[verdict]}</svg>
  );
}
