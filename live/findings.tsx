/**
 * What a run has found: the ratio in large figures, the curve, and the verdicts.
 *
 * @module
 */
import type { JSX } from "preact";
import { judgeClaims } from "../reports/claims/claims.ts";
import { VerdictMark } from "../reports/html/first_screen.tsx";
import { formatContext, formatRatio, formatSpread } from "../reports/text/format.ts";
import type { Result } from "../suites/result/result_schema.ts";
import type { PublishedDevice } from "./page_html.ts";
import { NeedleMap } from "./needle_map.tsx";
import { SpeedupFigure } from "../reports/html/speedup_figure.tsx";
import { forwardSeries } from "./speedups.ts";

/** The findings of a partial or whole result. */
export function Findings(
  { result, published = [], large = false }: {
    result: Result;
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
  return (
    <div class="findings">
      {longest !== undefined && (
        <>
          <p class={large ? "ratio" : "ratio so-far"}>{formatRatio(longest.ratio)}</p>
          <p>
            {large ? "" : "So far: "}as fast as this suite's own dense attention at{" "}
            {formatContext(longest.context)} tokens, forward
            {longest.kind === "interval" ? "; 95 % interval " : "; "}
            {formatSpread(longest, formatRatio)}
            {longest.kind === "interval" ? `, n = ${longest.count}` : ""}.
          </p>
        </>
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
      {result.retrieval !== undefined && <NeedleMap retrieval={result.retrieval} />}
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
