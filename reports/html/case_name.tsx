/**
 * The name of a case in the cell of a table.
 *
 * @module
 */
import type { JSX } from "preact";
import { caseSetting, caseTitle, type NamedCase } from "../text/case_title.ts";

/** In words, with the setting below; filters read the id. */
export function CaseName(
  { record, id }: {
    record: NamedCase;
    /** Id of the element, if links lead here. */
    id?: string;
  },
): JSX.Element {
  return (
    <span class="case" id={id} data-case={record.id}>
      {caseTitle(record)}
      <span class="aside">{caseSetting(record)}</span>
    </span>
  );
}
