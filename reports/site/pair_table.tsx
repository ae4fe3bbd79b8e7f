/**
 * A list of comparisons with pages of their own.
 *
 * @module
 */
import type { JSX } from "preact";
import { pairSentence, type RunPair } from "./pairs.ts";
import { shorten } from "./runs.ts";
import { FoldedTable, relative, RunLink } from "./site_page.tsx";

/** Pairs that are visible at first. */
const MOST_PAIRS_SEEN = 16;

/** The pairs as a table, each with the conclusion of its page. */
export function PairTable(
  { pairs, path, caption }: { pairs: readonly RunPair[]; path: string; caption: string },
): JSX.Element {
  return (
    <FoldedTable
      table={{
        caption,
        columns: [{ title: "Comparison" }, { title: "Run" }, { title: "Against" }, {
          title: "What it says",
        }],
        rows: pairs.map((pair) => [
          <>
            <a href={relative(path, pair.path)}>
              {pair.kind === "devices"
                ? `${shorten(pair.after.device.label, 30)} and ${
                  shorten(pair.before.device.label, 30)
                }`
                : `${pair.after.commit} against ${pair.before.commit}`}
            </a>
            <span class="aside">
              {pair.kind === "devices" ? "" : pair.after.device.name +
                (pair.kind === "consecutive" ? "" : ", since the first run")}
            </span>
          </>,
          <RunLink run={pair.after} path={path} />,
          <RunLink run={pair.before} path={path} />,
          pairSentence(pair),
        ]),
      }}
      most={MOST_PAIRS_SEEN}
      others="further pair"
    />
  );
}
