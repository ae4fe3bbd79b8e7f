/**
 * The findings of this run, in sentences.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { findings } from "../claims/findings.ts";
import { type Section, unbroken, withPowers } from "./section.tsx";

/** The section, or null if the result has no data for it. */
export function findingsSection(result: Result, prefix: string): Section | null {
  const found = findings(result);
  if (found.length === 0) return null;
  return {
    id: `${prefix}findings`,
    nav: "Findings",
    content: (
      <>
        <h2>What this run found</h2>
        <div class="columns">
          {found.map(({ title, sentences }) => (
            <div>
              <h3>{title}</h3>
              <ul class="prose">
                {sentences.map((sentence) => <li>{withPowers(unbroken(sentence))}</li>)}
              </ul>
            </div>
          ))}
        </div>
      </>
    ),
  };
}
