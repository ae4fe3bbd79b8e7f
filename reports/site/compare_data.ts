/**
 * The data that the page for comparing any two runs loads: a file for each run.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { deflateSync } from "node:zlib";
import { thin } from "../gate/bootstrap.ts";
import { clockStep, samplesOf } from "../gate/timed_case.ts";
import { isAtPowerLimit } from "../data/device_readings.ts";
import { outerCanary } from "../gate/times_of_samples.ts";
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { isCheck, SUITE_RECORDS } from "../../suites/result/suite_records.ts";
import type { CaseNames } from "./case_names.ts";
import { CHUNK_CALL, packRun } from "./compare_chunk.ts";
import type { ComparedCase, ComparedRun } from "./compare_runs.ts";
import type { SiteRun } from "./runs.ts";
import type { SiteFile } from "./site_page.tsx";

/** Path of a run's data. */
export function chunkPath({ slug }: SiteRun): string {
  return `data/${slug}.js`;
}

/** The data of a run: base64 has no character that could end a text or an element. */
export function chunkFile(run: SiteRun, names: CaseNames): SiteFile {
  const json = JSON.stringify(packRun(comparedRun(run, names)));
  const packed = deflateSync(json, { level: 9 }).toString("base64");
  return { path: chunkPath(run), text: `${CHUNK_CALL}("${run.slug}","${packed}");\n` };
}

/** What a comparison needs of a run; its cases have the names that they have on the other pages. */
export function comparedRun({ slug, result, device }: SiteRun, names: CaseNames): ComparedRun {
  const { environment, calibration, stack } = result;
  const { description, device: model, vendor, software } = environment.adapter;
  const { driver, cpu, cores, fingerprint, runtime, packages } = environment;
  const seen = new Set<string>();
  return {
    slug,
    startedAt: result.startedAt,
    device: device.identity,
    stack,
    environment: {
      adapter: { description, device: model, vendor, software },
      device: { name: environment.device.name },
      driver,
      cpu,
      cores,
      fingerprint,
      runtime: { deno: runtime.deno, browser: runtime.browser },
      packages: packages.webgpu === undefined ? {} : { webgpu: packages.webgpu },
    },
    calibration: calibration === null ? null : { clock: calibration.clock },
    code: codeOf(result),
    canary: { seconds: calibration?.canary?.median, trips: calibration?.canaryTrips },
    clockStep: clockStep(result),
    cases: result.cases.flatMap((record) => {
      if (isCheck(record) || seen.has(record.id)) return [];
      seen.add(record.id);
      return [comparedCase(record, names)];
    }),
  };
}

function comparedCase(record: CaseRecord, names: CaseNames): ComparedCase {
  const { id, suite, implementation, direction, status, check, machine, shape } = record;
  const counted = thin(samplesOf(record, SUITE_RECORDS).filter(({ flag }) => flag === undefined));
  return {
    id,
    suite,
    implementation,
    direction,
    status,
    ...(check && { check: { passed: check.passed } }),
    ...(machine !== undefined && { machine }),
    context: shape.context,
    title: names.title(id),
    setting: names.setting(id),
    atPowerLimit: isAtPowerLimit(counted),
    samples: counted.map((sample) => {
      const canary = outerCanary(sample);
      return {
        seconds: short(sample.seconds),
        round: sample.round,
        ...(canary !== undefined && { canary: short(canary) }),
      };
    }),
  };
}

/** What decides times besides the device, as in the gate; null if the code is unknown. */
function codeOf({ hashes, environment: { packages, fingerprint } }: SiteRun["result"]) {
  if (!/^[0-9a-f]{64}$/.test(hashes.wgsl)) return null;
  const key = JSON.stringify([
    hashes.wgsl,
    hashes.configuration,
    fingerprint,
    Object.entries(packages).sort(([a], [b]) => a < b ? -1 : 1),
  ]);
  return createHash("sha256").update(key).digest("hex").slice(0, 16);
}

/** Nine digits, as in recorded values. */
function short(value: number): number {
  return Number(value.toPrecision(9));
}
