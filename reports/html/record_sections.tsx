/**
 * The sections that keep the record: correctness, what is missing, environment, samples.
 *
 * @module
 */
import type { JSX } from "preact";
import type { CaseRecord, Result, Statistic } from "../../suites/result_schema.ts";
import { deviceName } from "../claims.ts";
import {
  ABSENT,
  formatByteRate,
  formatBytes,
  formatCount,
  formatFlopRate,
  formatInstant,
  formatInterval,
  formatPlural,
  formatSeconds,
  formatSignificant,
} from "../format.ts";
import { DotPlot, dotPlotHeight, type DotRow } from "./bar_plot.tsx";
import { Figure, Table } from "./figure.tsx";
import { seriesStyles } from "./palette.ts";
import { formatTick, type Section, Spread } from "./performance_sections.tsx";

/** The record of a run, in reading order. */
export function recordSections(result: Result, prefix: string): Section[] {
  return [
    correctnessSection(result, prefix),
    missingSection(result, prefix),
    environmentSection(result, prefix),
    sampleSection(result, prefix),
  ].filter((section) => section !== null);
}

function correctnessSection(result: Result, prefix: string): Section | null {
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
  const styles = seriesStyles([...worst.values()].map(({ record }) => record.implementation));
  const rows = [...worst].map(([label, { share, record }]): DotRow => ({
    label: label.replace(/^peer:/, ""),
    value: share,
    text: formatSignificant(share),
    style: styles.get(record.implementation)!,
  }));
  const digest = (text: string | undefined) =>
    text === undefined ? ABSENT : <code title={text}>{text.slice(0, 12)}</code>;
  const table = (
    <Table
      caption="Every check"
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
        record.id,
        record.check!.passed ? "yes" : <strong>no</strong>,
        exponential(record.check!.maxError),
        exponential(record.check!.tolerance),
        record.check!.method,
        digest(record.digest?.output),
        digest(record.digest?.selection),
      ])}
    />
  );
  const title = failed === 0
    ? `All ${formatPlural(checked.length, "check")} passed`
    : `${failed} of ${formatPlural(checked.length, "check")} failed`;
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
                title="Largest error as a part of its tolerance"
                description={rows.map(({ label, text }) => `${label}: ${text}`).join(", ") + "."}
                height={dotPlotHeight(rows.length)}
                compactHeight={dotPlotHeight(rows.length)}
                draw={(size) => (
                  <DotPlot
                    size={size}
                    rows={rows}
                    axis="error ÷ tolerance"
                    format={formatTick((value) => value.toFixed(2))}
                    guide={{ value: 1, label: "tolerance" }}
                  />
                )}
                table={{
                  caption: "Largest error of each part",
                  columns: [{ title: "Part" }, { title: "Error ÷ tolerance", numeric: true }],
                  rows: rows.map(({ label, text }) => [label, text]),
                }}
              />
            )}
            <details class="data">
              <summary>{formatPlural(checked.length, "check")} with digests</summary>
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

function missingSection(result: Result, prefix: string): Section | null {
  const missing = result.cases.filter((record) =>
    record.status !== "ok" || record.check?.passed === false
  );
  if (missing.length === 0) return null;
  return {
    id: `${prefix}missing`,
    nav: "Skipped",
    content: (
      <>
        <h2>Skipped and failed</h2>
        <Table
          caption="Cases without a time"
          columns={[
            { title: "Case" },
            { title: "State" },
            { title: "Reason" },
            { title: "Predicted", numeric: true },
            { title: "Memory", numeric: true },
          ]}
          rows={missing.map((record) => [
            record.id,
            record.status === "skipped" ? "skipped" : <strong>failed</strong>,
            record.reason ?? "no reason recorded",
            record.predictedSeconds === undefined ? ABSENT : formatSeconds(record.predictedSeconds),
            formatBytes(record.peakBytes),
          ])}
        />
      </>
    ),
  };
}

function environmentSection(result: Result, prefix: string): Section {
  const { environment, tool, hashes, calibration } = result;
  const { adapter, runtime } = environment;
  const run: [string, string][] = [
    ["Command", result.command.join(" ")],
    ["Started", formatInstant(result.startedAt)],
    ["Finished", result.finishedAt === null ? "cut short" : formatInstant(result.finishedAt)],
    ["Profile, seed", `${result.profile}, ${result.seed}`],
    ["Version", tool.version],
    ["Commit", `${tool.commit ?? "none"}${tool.dirty ? ", with uncommitted changes" : ""}`],
    ["WGSL hash", hashes.wgsl],
    ["Configuration hash", hashes.configuration],
    ["Plan hash", hashes.plan],
  ];
  const machine: [string, string][] = [
    ["Device", deviceName(result)],
    ["Adapter", [adapter.vendor, adapter.architecture, adapter.device].filter(Boolean).join(" / ")],
    ["Kind", adapter.software ? "software adapter (CPU)" : "GPU"],
    ["Driver", environment.driver ?? "not known"],
    [
      "Device memory",
      environment.deviceMemoryBytes === null
        ? "not known"
        : formatBytes(environment.deviceMemoryBytes),
    ],
    ["Stack", result.stack],
    ["Processor", `${environment.cpu}, ${formatPlural(environment.cores, "core")}`],
    ["Memory", formatBytes(environment.memoryBytes)],
    ["System", environment.os],
    ["Runtime", `Deno ${runtime.deno}, V8 ${runtime.v8}, TypeScript ${runtime.typescript}`],
    ["Packages", Object.entries(environment.packages).map((pair) => pair.join(" ")).join(", ")],
    ["Features", environment.features.join(", ")],
    ["Fingerprint", environment.fingerprint],
  ];
  const rate = (label: string, statistic: Statistic | undefined, format: (x: number) => string) =>
    statistic === undefined ? [] : [[
      label,
      format(statistic.median),
      formatInterval([statistic.low, statistic.high], format),
      formatCount(statistic.count),
    ]];
  const calibrated = calibration === null ? [] : [
    ...rate("f32 multiply-add", calibration.fmaF32, formatFlopRate),
    ...rate("f16 multiply-add", calibration.fmaF16, formatFlopRate),
    ...(calibration.matrix ?? []).flatMap(({ config, flopsPerSecond }) =>
      rate(`matrix units, ${config}`, flopsPerSecond, formatFlopRate)
    ),
    ...rate("buffer copy, read plus written", calibration.copy, formatByteRate),
    ...rate("empty pass", calibration.emptyPass, formatSeconds),
    ...rate("canary kernel", calibration.canary, formatSeconds),
    ...(calibration.timestampGranularity === undefined
      ? []
      : [["timestamp step", formatSeconds(calibration.timestampGranularity), ABSENT, ABSENT]]),
  ];
  return {
    id: `${prefix}environment`,
    nav: "Environment",
    content: (
      <>
        <h2>Environment and calibration</h2>
        <div class="columns">
          <div>
            <h3>Run</h3>
            <Pairs pairs={run} />
          </div>
          <div>
            <h3>Machine</h3>
            <Pairs pairs={machine} />
          </div>
        </div>
        {calibrated.length > 0 && (
          <>
            <h3>Calibration</h3>
            <Table
              caption={`Ceilings and clock of this device, by ${
                calibration!.clock === "gpu" ? "GPU timestamps" : "wall clock"
              }`}
              columns={[
                { title: "What" },
                { title: "Median", numeric: true },
                { title: "95 % interval", numeric: true },
                { title: "Samples", numeric: true },
              ]}
              rows={calibrated}
            />
          </>
        )}
        {[...result.notes, ...(calibration?.notes ?? [])].length > 0 && (
          <>
            <h3>Notes of the run</h3>
            <ul class="prose">
              {[...result.notes, ...(calibration?.notes ?? [])].map((note) => <li>{note}</li>)}
            </ul>
          </>
        )}
        <details class="data">
          <summary>Configuration and device limits</summary>
          <Pairs
            pairs={[
              ...Object.entries(result.configuration).map(([key, value]): [string, string] => [
                key,
                typeof value === "string" ? value : JSON.stringify(value) ?? ABSENT,
              ]),
              ...Object.entries(environment.limits).map(([key, value]): [string, string] => [
                key,
                formatCount(value),
              ]),
            ]}
          />
        </details>
      </>
    ),
  };
}

function sampleSection(result: Result, prefix: string): Section | null {
  const sampled = result.cases.filter(({ samples }) => samples.length > 0);
  if (sampled.length === 0) return null;
  const count = sampled.reduce((sum, { samples }) => sum + samples.length, 0);
  return {
    id: `${prefix}samples`,
    nav: "Samples",
    content: (
      <div class="screen-only">
        <h2>Raw samples</h2>
        <details class="data">
          <summary>
            {formatPlural(count, "sample")} of {formatPlural(sampled.length, "case")}, in order
          </summary>
          <Table
            caption="GPU milliseconds of each execution in the order of measuring; * marks a sample that is kept but left out of the statistic"
            columns={[{ title: "Case" }, { title: "Samples, ms" }]}
            rows={sampled.map((record) => [
              record.id,
              [...record.samples]
                .sort((a, b) => a.round - b.round || a.place - b.place)
                .map(({ seconds, flag }) =>
                  `${Number((seconds * 1e3).toPrecision(5))}${flag === undefined ? "" : "*"}`
                ).join("  "),
            ])}
          />
        </details>
      </div>
    ),
  };
}

function Pairs({ pairs }: { pairs: [string, string][] }): JSX.Element {
  return (
    <dl class="pairs">
      {pairs.filter(([, value]) => value !== "").map(([key, value]) => (
        <>
          <dt>{key}</dt>
          <dd>{value}</dd>
        </>
      ))}
    </dl>
  );
}

function exponential(value: number | null): string {
  return value === null ? ABSENT : value === 0 ? "0" : value.toExponential(2).replace("e-", "e−");
}
