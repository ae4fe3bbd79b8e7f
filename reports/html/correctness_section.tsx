/**
 * Every check, its error against its tolerance, and the digests.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { ABSENT, formatCount, formatPlural, formatSignificant } from "../text/format.ts";
import { DotPlot, dotPlotHeight, type DotRow } from "../charts/bar_plot.tsx";
import { dotData } from "../charts/chart_data.ts";
import { Figure, Table } from "../charts/figure.tsx";
import { seriesStyles } from "../charts/palette.ts";
import { formatTick, type Section, Spread } from "./section.tsx";
import { CaseName } from "./case_name.tsx";

/** Most rows of the figure; its table has all. */
/** Cases whose digests can be read whole. */
const MOST_WHOLE = 200;
const MOST_DRAWN = 12;

/** The section, or null if the result has no data for it. */
export function correctnessSection(result: Result, prefix: string): Section | null {
  const checked = result.cases.filter(({ check }) => check !== undefined);
  if (checked.length === 0) return null;
  const failed = checked.filter(({ check }) => !check!.passed).length;
  const worst = new Map<string, { share: number; record: CaseRecord }>();
  for (const record of checked) {
    const parts = record.check!.parts ?? [{ name: "output", ...record.check! }];
    for (const { name, maxError, tolerance } of parts) {
      if (maxError === null || tolerance === null || !(tolerance > 0)) continue;
      const key = `${record.implementation} ${name}`;
      const share = maxError / tolerance;
      if (share > (worst.get(key)?.share ?? -1)) worst.set(key, { share, record });
    }
  }
  const styles = seriesStyles(
    [...worst.values()].map(({ record }) => record.implementation),
    result,
  );
  const rows = [...worst].map(([label, { share, record }]): DotRow => ({
    label: label.replace(/^peer:/, ""),
    value: share,
    text: formatSignificant(share),
    case: record.id,
    style: styles.get(record.implementation)!,
  }));
  // A suite can check hundreds of quantities; those closest to their tolerance are drawn.
  const drawn = rows.length <= MOST_DRAWN
    ? rows
    : rows.toSorted((a, b) => b.value - a.value).slice(0, MOST_DRAWN);
  // A long table has the beginnings alone.
  const digest = (text: string | undefined) =>
    text === undefined
      ? ABSENT
      : <code title={checked.length > MOST_WHOLE ? undefined : text}>{text.slice(0, 12)}</code>;
  const table = (
    <Table
      caption="Every checked case"
      columns={[
        { title: "Case" },
        { title: "Passed" },
        { title: "Largest error", numeric: true },
        { title: "Tolerance", numeric: true },
        { title: "Compared with" },
        { title: "Output digest" },
        { title: "Selection digest" },
      ]}
      rows={checked.map((record) => [
        <CaseName record={record} />,
        record.check!.passed ? "yes" : <strong>no</strong>,
        exponential(record.check!.maxError),
        exponential(record.check!.tolerance),
        record.check!.method,
        digest(record.digest?.output),
        digest(record.digest?.selection),
      ])}
    />
  );
  const compared = checked.reduce((sum, { check }) => sum + (check!.parts?.length ?? 1), 0);
  const title = failed === 0
    ? `All ${formatPlural(compared, "check")} of ${formatPlural(checked.length, "case")} passed`
    : `${formatCount(failed)} of ${formatPlural(checked.length, "case")} failed a check`;
  return {
    id: `${prefix}correctness`,
    nav: "Correctness",
    content: (
      <Spread
        title={title}
        figure={
          <>
            {rows.length > 0 && (
              <Figure
                id={`${prefix}correctness-figure`}
                title={"Largest error of each quantity as a part of its tolerance" +
                  (drawn.length < rows.length
                    ? `, the ${drawn.length} largest of ${formatCount(rows.length)}`
                    : "")}
                description={drawn.map(({ label, text }) => `${label}: ${text}`).join(", ") + "."}
                height={dotPlotHeight(drawn.length)}
                compactHeight={dotPlotHeight(drawn.length)}
                draw={(size) => (
                  <DotPlot
                    size={size}
                    rows={drawn}
                    axis="error ÷ tolerance"
                    format={formatTick((value) => value.toFixed(2))}
                    guide={{ value: 1, label: "tolerance" }}
                  />
                )}
                data={dotData(rows, { label: "part", value: "error_of_tolerance" })}
                table={{
                  caption: "Largest error of each part",
                  columns: [{ title: "Part" }, { title: "Error ÷ tolerance", numeric: true }],
                  rows: rows.map(({ label, text }) => [label, text]),
                }}
              />
            )}
            <details class="data">
              <summary>{formatPlural(checked.length, "checked case")} with digests</summary>
              {table}
            </details>
          </>
        }
      >
        <p>
          A case is timed only after its output passed its check, and its tolerance is derived, not
          chosen. Equal digests mean equal bits.
        </p>
      </Spread>
    ),
  };
}

function exponential(value: number | null): string {
  return value === null ? ABSENT : value === 0 ? "0" : value.toExponential(2).replace("e-", "e−");
}
