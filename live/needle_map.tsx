/**
 * Where a needle is still found: context against depth, for each way of attending.
 *
 * @module
 */
import type { JSX } from "preact";
import { orderArms } from "../reports/data/retrieval_data.ts";
import { armName } from "../reports/html/retrieval_block.tsx";
import { capital } from "../reports/html/section.tsx";
import { formatContext } from "../reports/text/format.ts";
import { plainText } from "../suites/result/plain_text.ts";
import type { Result, RetrievalCell } from "../suites/result/result_schema.ts";

/** One map for each arm of the grid; it fills in as needles are looked for. */
export function NeedleMap(
  { result, cells: all, over }: {
    result: Result;
    /** Whether no more cells come. */
    over: boolean;
    /** Cells so far, those of an unfinished case too. */
    cells: readonly RetrievalCell[];
  },
): JSX.Element | null {
  const coming = (name: "contexts" | "depths") => over ? [] : planned(result, name);
  const grid = all.filter(({ sweep, depth }) => sweep === "grid" && depth !== undefined);
  if (grid.length === 0) return null;
  const margins = unique(grid.map(({ margin }) => margin));
  // One margin a map: the one in the middle, where arms differ most.
  const margin = margins[Math.floor(margins.length / 2)];
  const cells = grid.filter((cell) => cell.margin === margin);
  const contexts = unique([...coming("contexts"), ...cells.map(({ context }) => context)]);
  const depths = unique([...coming("depths"), ...cells.map(({ depth }) => depth!)]);
  return (
    <section class="needles" aria-labelledby="needles-title">
      <h3 id="needles-title">Where the needle is found</h3>
      <p>
        A needle, a key whose logit stands {margin}{" "}
        above the others, is hidden at each depth of each context. A cell is the share of trials in
        which the last token reads its digit. For comparison: the oracle attends to the S rows with
        the largest logits, random to any S rows, the window to the last S.
      </p>
      <div class="maps">
        {orderArms(cells.map(({ arm }) => arm)).map((arm) => (
          <table key={arm}>
            <caption>{capital(plainText(armName(arm)))}</caption>
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
                      over={over}
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

function Cell(
  { cell, over }: { cell: RetrievalCell | undefined; over: boolean },
): JSX.Element {
  if (cell === undefined) return <td class="empty">{over ? "–" : "…"}</td>;
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

/** Contexts or depths that the run will come to, as far as its configuration names them. */
function planned(
  { configuration }: Result,
  name: "contexts" | "depths",
): number[] {
  const values = (configuration.retrieval as { [name]?: unknown } | undefined)?.[name];
  if (!Array.isArray(values)) return [];
  return values.filter((value): value is number => Number.isFinite(value)).slice(0, 12);
}

function unique(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}
