/**
 * Which blocks queries select, for layers whose queries select blocks of keys by the inputs.
 *
 * @module
 */
import type {
  BlockSelectionRecord,
  CaseRecord,
  Result,
} from "../../suites/result/result_schema.ts";
import { Table } from "../charts/figure.tsx";
import { ABSENT, formatCount, formatPercent, formatSignificant } from "../text/format.ts";
import { type Section, Spread } from "./section.tsx";

type Selecting = CaseRecord & { readonly blockSelection: BlockSelectionRecord };

/** What readers have to know of the implementations of some cases. */
function notesOf({ implementations }: Result, cases: readonly CaseRecord[]): string[] {
  const shown = new Set(cases.map(({ implementation }) => implementation));
  return implementations.flatMap(({ name, note }) => note && shown.has(name) ? [note] : []);
}

/** The section, or null if the result has no data for it. */
export function blockSelectionSection(result: Result, prefix: string): Section | null {
  const cases = result.cases.filter((one): one is Selecting => one.blockSelection !== undefined);
  if (cases.length === 0) return null;
  return {
    id: `${prefix}block-selection`,
    nav: "Selected blocks",
    content: (
      <Spread
        title="Which blocks queries select"
        figure={
          <Table
            caption="Blocks before a query's own, in the lists of all heads"
            columns={[
              { title: "Case" },
              { title: "Of the blocks before it, a query selects", numeric: true },
              { title: "Directly before its own", numeric: true },
              { title: "Most queries of one block, of a head's", numeric: true },
              { title: "Blocks that nobody selects", numeric: true },
              { title: "Same blocks under noise (Jaccard)", numeric: true },
            ]}
            rows={cases.map(({ id, shape, blockSelection }) => {
              const { lists, blocks, earlier, neighbours, longest, unused, stability } =
                blockSelection;
              const heads = lists / shape.context;
              const before = (blocks - 1) / 2 * lists;
              return [
                id,
                before === 0 ? ABSENT : formatPercent(earlier / before),
                earlier === 0 ? ABSENT : formatPercent(neighbours / earlier),
                formatPercent(longest / shape.context),
                `${formatCount(unused)} of ${formatCount(heads * (blocks - 1))}`,
                stability ? formatSignificant(stability.jaccard) : ABSENT,
              ];
            })}
          />
        }
      >
        {notesOf(result, cases).map((note) => <p>{note}</p>)}
        <p>
          Each query of each head attends to its own block and to the earlier ones that score best.
          Inputs are random numbers without structure, so scores lie close together: how firm these
          choices are says little of trained models.
        </p>
      </Spread>
    ),
  };
}
