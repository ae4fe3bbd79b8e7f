/**
 * The run, the machine, its calibration.
 *
 * @module
 */
import type { JSX } from "preact";
import type {
  EnvironmentRecord,
  KeepWarmRecord,
  Result,
  Statistic,
} from "../../suites/result/result_schema.ts";
import { spreadOf } from "../data/spread.ts";
import { deviceName } from "../claims/claims.ts";
import {
  ABSENT,
  formatByteRate,
  formatBytes,
  formatCount,
  formatFlopRate,
  formatInstant,
  formatPlural,
  formatSeconds,
  formatSpread,
  SPREAD_TITLE,
} from "../text/format.ts";
import { Table } from "../charts/figure.tsx";
import { Command } from "./text_parts.tsx";
import { capital, type Section } from "./section.tsx";

/** The section. */
export function environmentSection(result: Result, prefix: string): Section {
  const { environment, tool, hashes, calibration, stackChoice } = result;
  const { adapter, runtime } = environment;
  const run: [string, string][] = [
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
    ["Adapter", adapterText(adapter)],
    ["Kind", adapter.software ? "software adapter (CPU)" : "GPU"],
    ["Driver", environment.driver ?? "not known"],
    [
      "Device memory",
      environment.deviceMemoryBytes === null
        ? "not known"
        : formatBytes(environment.deviceMemoryBytes),
    ],
    ["Stack", `${result.stack}${stackChoice ? ` (${stackChoice.reason})` : ""}`],
    ["Processor", `${environment.cpu}, ${formatPlural(environment.cores, "core")}`],
    ["Memory", formatBytes(environment.memoryBytes)],
    ["System", environment.os],
    ["Runtime", runtimeText(runtime)],
    ["Packages", Object.entries(environment.packages).map((pair) => pair.join(" ")).join(", ")],
    ["Features", environment.features.join(", ")],
    ["Fingerprint", environment.fingerprint],
  ];
  const rate = (label: string, statistic: Statistic | undefined, format: (x: number) => string) =>
    statistic === undefined ? [] : [[
      label,
      format(statistic.median),
      formatSpread(spreadOf(statistic), format),
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
            <Pairs pairs={run} command={result.command.join(" ")} />
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
                { title: SPREAD_TITLE, numeric: true },
                { title: "Samples", numeric: true },
              ]}
              rows={calibrated}
            />
          </>
        )}
        {result.keepWarm !== undefined && (
          <>
            <h3>Keeping the clock up</h3>
            <p>{keepWarmText(result.keepWarm)}</p>
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

/** How the clock was kept up, and the readings meanwhile. */
function keepWarmText({ means, clockMHz, powerWatts }: KeepWarmRecord): string {
  const sentences = [`${means.join("; ")}.`];
  if (clockMHz) {
    const { lowest, median, highest, count, limit } = clockMHz;
    const most = limit === null ? "" : ` of at most ${formatCount(limit)} MHz`;
    sentences.push(
      `${formatCount(count)} readings of the clock: median ${formatCount(median)} MHz, from ` +
        `${formatCount(lowest)} to ${
          formatCount(highest)
        } MHz${most}; idle moments are among them.`,
    );
  }
  if (powerWatts) {
    const { median, highest, count, limit, atLimit } = powerWatts;
    const most = limit === null ? "" : ` of at most ${formatCount(limit)} W`;
    const readings = `${formatCount(atLimit)} of ${formatCount(count)} readings`;
    const there = atLimit === 0 ? "" : `; at the limit in ${readings}, where it lowers its clock`;
    sentences.push(
      `Power: median ${formatCount(median)} W, up to ${formatCount(highest)} W${most}${there}.`,
    );
  }
  return sentences.map(capital).join(" ");
}

/** Vendors by their PCI or Khronos number, for stacks that do not name them. */
const VENDORS: Record<number, string> = {
  0x1002: "AMD",
  0x106b: "Apple",
  0x10de: "NVIDIA",
  0x13b5: "Arm",
  0x5143: "Qualcomm",
  0x8086: "Intel",
  0x10005: "Mesa",
};

/** The stack's description of the adapter; numbers as in hardware lists. */
function adapterText(
  { vendor, architecture, device, description }: Result["environment"]["adapter"],
): string {
  const hexadecimal = (text: string) => `0x${Number(text).toString(16).padStart(4, "0")}`;
  const isNumber = (text: string) => /^[1-9]\d*$/.test(text);
  const named = isNumber(vendor) ? VENDORS[Number(vendor)] : vendor;
  const ids = [
    isNumber(vendor) ? `vendor ${hexadecimal(vendor)}` : "",
    isNumber(device) ? `device ${hexadecimal(device)}` : "",
  ].filter(Boolean);
  // Software adapters have the number 0.
  const texts = [description, named, architecture, isNumber(device) || device === "0" ? "" : device]
    .filter((text, i) => text && text !== "0" && (i === 0 || !description.includes(text)));
  return [...new Set(texts), ...(ids.length > 0 ? [`(${ids.join(", ")})`] : [])].join(" ");
}

function Pairs({ pairs, command }: { pairs: [string, string][]; command?: string }): JSX.Element {
  return (
    <dl class="pairs">
      {command && (
        <>
          <dt>Command</dt>
          <dd>
            <Command>{command}</Command>
          </dd>
        </>
      )}
      {pairs.filter(([, value]) => value !== "").map(([key, value]) => (
        <>
          <dt>{key}</dt>
          <dd>{value}</dd>
        </>
      ))}
    </dl>
  );
}

function runtimeText({ browser, deno, v8, typescript }: EnvironmentRecord["runtime"]): string {
  const parts = { Deno: deno, V8: v8, TypeScript: typescript };
  const named = Object.entries(parts).flatMap(([name, version]) =>
    version === undefined ? [] : `${name} ${version}`
  );
  return [...(browser === undefined ? [] : [browser]), ...named].join(", ");
}
