/**
 * What a run has found: the ratio in large figures, the curve, and the verdicts.
 *
 * @module
 */
import type { JSX } from "preact";
import { judgeClaims } from "../reports/claims/claims.ts";
import { VerdictMark } from "../reports/html/first_screen.tsx";
import { formatContext, formatPlural, formatRatio, formatSpread } from "../reports/text/format.ts";
import { plainText } from "../suites/result/plain_text.ts";
import type { CaseRecord, Result, RetrievalCell } from "../suites/result/result_schema.ts";
import type { PublishedDevice } from "./page_html.ts";
import { NeedleMap } from "./needle_map.tsx";
import { SpeedupFigure } from "../reports/html/speedup_figure.tsx";
import { forwardSeries } from "./speedups.ts";

/** Characters of a reason that are shown; the report has all of it. */
const MOST_REASON_CHARACTERS = 300;

/** Why a case failed, from a file that may hold anything. */
function reasonOf({ reason }: CaseRecord): string {
  const text = plainText(reason ?? "no reason given");
  return text.length > MOST_REASON_CHARACTERS
    ? `${text.slice(0, MOST_REASON_CHARACTERS)}…`
    : text.replace(/\.$/, "");
}

/** What published devices reached at the same context. */
function Beside(
  { context, published }: { context: number; published: readonly PublishedDevice[] },
): JSX.Element | null {
  const beside = published.flatMap(({ device, stack, points }) => {
    const point = points.find((one) => one.context === context);
    return point === undefined ? [] : [`${formatRatio(point.ratio)} on ${device} (${stack})`];
  });
  if (beside.length === 0) return null;
  return <p>Published runs at that context: {beside.join(", ")}.</p>;
}

/** The findings of a partial or whole result. */
export function Findings(
  { result, cells = [], published = [], large = false }: {
    result: Result;
    /** Cells of needles beyond the result's. */
    cells?: readonly RetrievalCell[];
    published?: readonly PublishedDevice[];
    large?: boolean;
  },
): JSX.Element {
  const series = forwardSeries(result);
  const longest = series?.points.at(-1);
  const verdicts = large
    ? judgeClaims(result).filter(({ verdict }) =>
      verdict !== "not run" && verdict !== "not the paper's claim"
    )
    : [];
  const failed = result.cases.filter(({ status }) => status === "failed");
  return (
    <div class="findings">
      {longest !== undefined && (
        <>
          <p class={large ? "ratio" : "ratio so-far"}>
            {formatRatio(longest.ratio)}
            {result.environment.adapter.software && <span class="badge">software adapter</span>}
          </p>
          <p>
            {large ? "" : "So far: "}as fast as this suite's own dense attention at{" "}
            {formatContext(longest.context)} tokens, forward
            {longest.kind === "interval" ? "; 95 % interval " : "; "}
            {formatSpread(longest, formatRatio)}
            {longest.kind === "interval" ? `, n = ${longest.count}` : ""}.
          </p>
        </>
      )}
      {large && longest !== undefined && <Beside context={longest.context} published={published} />}
      {large && failed.length > 0 && (
        <p class="notice failed" role="note">
          {formatPlural(failed.length, "case")} failed: {reasonOf(failed[0])}.
        </p>
      )}
      {large && longest === undefined && result.retrieval === undefined && (
        <p>No speed-up was measured: the report below says why each case is missing.</p>
      )}
      {series !== null && (
        <SpeedupFigure
          id="live-speed-up"
          direction="forward"
          series={[series]}
          several
          result={result}
          others={published.map(({ device, stack, points }) => ({
            label: `${device}, ${stack}`,
            points,
          }))}
        />
      )}
      <NeedleMap
        result={result}
        cells={[...result.retrieval?.cells ?? [], ...cells]}
        over={large}
      />
      {verdicts.length > 0 && (
        <ul class="verdicts">
          {verdicts.map(({ id, claim, verdict }) => (
            <li key={id}>
              <VerdictMark verdict={verdict} /> {claim}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
