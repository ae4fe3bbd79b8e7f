/**
 * Readable names of cases, for pages that would otherwise print their ids.
 *
 * @module
 */
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { type Described, describedBy, type SeriesStyle, styleOf } from "../charts/palette.ts";
import { caseSetting, caseTitle } from "../text/case_title.ts";
import type { Site } from "./runs.ts";

/** Cases of a site by id, each as recorded by any of its runs. */
export class CaseNames {
  readonly #records = new Map<string, CaseRecord>();
  readonly #titles = new Map<string, string>();
  readonly #described: Described;

  constructor(site: Pick<Site, "runs">) {
    this.#described = describedBy(site.runs.map(({ result }) => result));
    for (const { result } of site.runs) {
      for (const record of result.cases) {
        if (!this.#records.has(record.id)) this.#records.set(record.id, record);
      }
    }
    for (const alike of Map.groupBy(this.#records.values(), caseTitle).values()) {
      const owners = new Map<string, number>();
      const settings = alike.map((record) => [...new Set(caseSetting(record).split(", "))]);
      for (const part of settings.flat()) owners.set(part, (owners.get(part) ?? 0) + 1);
      alike.forEach((record, i) => {
        const own = settings[i].filter((part) => owners.get(part)! < alike.length);
        this.#titles.set(record.id, [caseTitle(record), ...own].join(", "));
      });
    }
  }

  /** The record; undefined for an id that no run has. */
  record(id: string): CaseRecord | undefined {
    return this.#records.get(id);
  }

  /** The title, with what distinguishes it from equal titles; the id if no run has the case. */
  title(id: string): string {
    return this.#titles.get(id) ?? id;
  }

  /** The setting, or nothing. */
  setting(id: string): string {
    const record = this.#records.get(id);
    return record === undefined ? "" : caseSetting(record);
  }

  /** The style of its implementation, the same on every page. */
  style(id: string): SeriesStyle {
    return styleOf(this.#records.get(id)?.implementation ?? id, this.#described);
  }

  /** Title and setting in one line. */
  full(id: string): string {
    const record = this.#records.get(id);
    return record === undefined ? id : `${caseTitle(record)}, ${caseSetting(record)}`;
  }
}
