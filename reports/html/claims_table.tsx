/**
 * The claims table: claims that the run covers in rows, the rest folded, one line for each reason.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleLog } from "d3-scale";
import type { Result } from "../../suites/result/result_schema.ts";
import {
  type ClaimRow,
  formatQuantity,
  formatQuantityInterval,
  judgeClaims,
  PARTLY_FROM,
  type Quantity,
  REPRODUCED_FROM,
  VERDICT_RULE,
} from "../claims/claims.ts";
import { ABSENT, formatPlural } from "../text/format.ts";
import { coordinate } from "../charts/drawing.ts";
import { VerdictMark } from "./first_screen.tsx";
import { Command, together } from "./text_parts.tsx";

/** Whether a run measured anything that a claim covers. */
export function speaksOfClaims(result: Result): boolean {
  return judgeClaims(result).some(({ ours, nearest }) => ours !== null || nearest !== null);
}

/** The claims that the run covers as a table, the others folded, one line for each reason. */
export function ClaimsTable({ result }: { result: Result }): JSX.Element {
  const rows = judgeClaims(result);
  const own = rows.filter(({ verdict }) => verdict !== "not the paper's claim");
  const spoken = own.filter(({ ours, nearest }) => ours !== null || nearest !== null);
  const silent = own.filter((row) => !spoken.includes(row));
  const elsewhere = rows.filter(({ verdict }) => verdict === "not the paper's claim");
  const reasons = Map.groupBy(
    silent,
    ({ command, why }) => command === null ? BEYOND : why,
  );
  return (
    <>
      {spoken.length > 0 && (
        <ClaimRows caption="Claims of the paper that this run covers" rows={spoken} />
      )}
      {[...reasons].map(([reason, rows]) => (
        <Folded summary={`${formatPlural(rows.length, "claim")} not run. ${reason}`} rows={rows} />
      ))}
      {elsewhere.length > 0 && (
        <Folded
          summary={`${
            formatPlural(elsewhere.length, "statement")
          } made of the paper elsewhere, none of them the paper’s.`}
          rows={elsewhere}
        />
      )}
      <p class="source">{VERDICT_RULE}</p>
    </>
  );
}

const BEYOND = "They need models trained to the end.";

/** Rows that one folded line replaces. */
function Folded({ summary, rows }: { summary: string; rows: readonly ClaimRow[] }): JSX.Element {
  return (
    <details class="folded">
      <summary>{summary}</summary>
      <ClaimRows caption={summary} rows={rows} />
    </details>
  );
}

function ClaimRows(
  { caption, rows }: { caption: string; rows: readonly ClaimRow[] },
): JSX.Element {
  return (
    <table class="claims">
      <caption class="visually-hidden">
        {caption}: the paper’s values, the values of this run, and the verdict
      </caption>
      <thead>
        <tr>
          <th scope="col">Claim</th>
          <th scope="col">Verdict</th>
          <th scope="col">Paper</th>
          <th scope="col">Here</th>
          <th scope="col">Here ÷ paper</th>
        </tr>
      </thead>
      <tbody>{rows.map((row) => <Claim row={row} />)}</tbody>
    </table>
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
                {row.details.map(({ label, paper, measured = [] }) => (
                  <>
                    <dt>{label}</dt>
                    <dd>
                      {paper}
                      {measured.map(({ over, text, verdict }) => (
                        <span class="aside">
                          {text} over {over}: {verdict}
                        </span>
                      ))}
                    </dd>
                  </>
                ))}
              </dl>
            </details>
          )}
          {row.command !== null && (
            <details class="rerun">
              <summary>{row.verdict === "not run" ? "Run it" : "Run it again"}</summary>
              <Command>{row.command}</Command>
            </details>
          )}
        </span>
      </th>
      <td class="verdict-cell" data-label="Verdict">
        <VerdictMark verdict={row.verdict} />
      </td>
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
              {interval !== null && <span class="aside">{interval}{counted(ours)}</span>}
              {row.beside !== undefined && <span class="aside">{together(row.beside)}</span>}
              {row.software && <span class="aside">on a software adapter</span>}
            </td>
            <td data-label="Here ÷ paper">
              {row.ratio === null ? <span class="absent">{ABSENT}</span> : <Share row={row} />}
            </td>
          </>
        )}
    </tr>
  );
}

/** The number of samples of an interval; a range states it itself. */
function counted({ kind, count }: Quantity): string {
  return kind === "interval" ? `, n = ${count}` : "";
}

/** Our value and the paper's on a small logarithmic scale, with the paper at 1. */
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
