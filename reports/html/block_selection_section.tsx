/**
 * Which blocks or tokens queries select, for layers whose queries select keys by the inputs.
 *
 * @module
 */
import type {
  BlockSelectionRecord,
  CaseRecord,
  Result,
  TokenSelectionRecord,
} from "../../suites/result/result_schema.ts";
import { Table } from "../charts/figure.tsx";
import { ABSENT, formatCount, formatPercent, formatSignificant } from "../text/format.ts";
import { CaseName } from "./case_name.tsx";
import { type Section, Spread } from "./section.tsx";

type Indexing = CaseRecord & { readonly tokenSelection: TokenSelectionRecord };
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
            rows={cases.map((record) => {
              const { shape, blockSelection } = record;
              const { lists, blocks, earlier, neighbours, longest, unused, stability } =
                blockSelection;
              const heads = lists / shape.context;
              const before = (blocks - 1) / 2 * lists;
              return [
                <CaseName record={record} />,
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

/** The section on tokens that an index selects, or null if the result has no data for it. */
export function tokenSelectionSection(result: Result, prefix: string): Section | null {
  const cases = result.cases.filter((one): one is Indexing =>
    one.tokenSelection !== undefined && one.tokenSelection.queries > 0
  );
  if (cases.length === 0) return null;
  const share = (part: number, all: number) => all === 0 ? ABSENT : formatPercent(part / all);
  return {
    id: `${prefix}token-selection`,
    nav: "Selected tokens",
    content: (
      <Spread
        title="Which tokens an index selects"
        figure={
          <Table
            caption="Lists of sampled queries that have more tokens before them than they select"
            columns={[
              { title: "Case" },
              { title: "Queries", numeric: true },
              { title: "Within a window of as many tokens", numeric: true },
              { title: "At random that would be", numeric: true },
              { title: "Of what an index over all tokens selects", numeric: true },
            ]}
            rows={cases.map((
              { id, tokenSelection: { queries, tokens, near, expected, whole } },
            ) => [
              id,
              formatCount(queries),
              share(near, tokens),
              share(expected, tokens),
              whole ? share(whole.same, whole.tokens) : ABSENT,
            ])}
          />
        }
      >
        <p>
          An index scores tokens, and every head attends to the best. Where it ranks blocks first,
          tokens of the blocks that it drops are lost: the last column says how many of those that
          an index over all tokens selects are left.
        </p>
        <p>
          Its inputs are random numbers without structure, of which the mean of a block says
          nothing: that share is low by nature, and says little of trained models.
        </p>
      </Spread>
    ),
  };
}
