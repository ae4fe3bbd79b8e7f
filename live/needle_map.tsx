/**
 * Where a needle is still found: context against depth, for each way of attending.
 *
 * @module
 */
import type { JSX } from "preact";
import { formatContext } from "../reports/text/format.ts";
import type { RetrievalCell, RetrievalRecord } from "../suites/result/result_schema.ts";

/** One map for each arm of the grid; it fills in as the parts of a run finish. */
export function NeedleMap({ retrieval }: { retrieval: RetrievalRecord }): JSX.Element | null {
  const grid = retrieval.cells.filter(({ sweep, depth }) =>
    sweep === "grid" && depth !== undefined
  );
  if (grid.length === 0) return null;
  const margins = unique(grid.map(({ margin }) => margin));
  // One margin a map: the one in the middle, where arms differ most.
  const margin = margins[Math.floor(margins.length / 2)];
  const cells = grid.filter((cell) => cell.margin === margin);
  const contexts = unique(cells.map(({ context }) => context));
  const depths = unique(cells.map(({ depth }) => depth!));
  return (
    <section class="needles" aria-labelledby="needles-title">
      <h3 id="needles-title">Where the needle is found</h3>
      <p>
        A needle whose logit stands {margin}{" "}
        above the others is hidden at each depth of a context; a cell is the share of trials in
        which the last token finds it.
      </p>
      <div class="maps">
        {[...new Set(cells.map(({ arm }) => arm))].map((arm) => (
          <table key={arm}>
            <caption>{arm}</caption>
            <thead>
              <tr>
                <th scope="col">depth</th>
                {contexts.map((context) => <th scope="col">{formatContext(context)}</th>)}
              </tr>
            </thead>
            <tbody>
              {depths.map((depth) => (
                <tr>
                  <th scope="row">{depth} %</th>
                  {contexts.map((context) => (
                    <Cell
                      cell={cells.find((one) =>
                        one.arm === arm && one.context === context && one.depth === depth
                      )}
                    />
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        ))}
      </div>
    </section>
  );
}

function Cell({ cell }: { cell: RetrievalCell | undefined }): JSX.Element {
  if (cell === undefined) return <td class="empty">…</td>;
  const share = Math.round(100 * cell.correct / cell.trials);
  return (
    <td
      style={`--share:${share}%`}
      title={`${cell.correct} of ${cell.trials} trials`}
    >
      {share} %
    </td>
  );
}

function unique(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}
