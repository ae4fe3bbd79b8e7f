/**
 * The result of a run before any measurement.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { hasName } from "../device/adapter_name.ts";
import type { OpenPeers } from "../peers/peers.ts";
import type { Measurable } from "../plan/measurable.ts";
import { hashJson } from "../result/digest.ts";
import { implementationRecords } from "../result/implementation_record.ts";
import {
  type Result,
  SCHEMA_VERSION,
  type StackChoiceRecord,
  type TuningRecord,
} from "../result/result_schema.ts";
import type { Host } from "./host.ts";
import { configurationOf, planIdentity, plannedCases, type RunPlan } from "./plan_run.ts";

/** What a result says about a run besides its plan. */
export interface NewResultOptions {
  readonly host: Pick<Host, "describeTool" | "hashKernels">;
  readonly environment: Result["environment"];
  readonly gpu: Gpu;
  readonly registry: readonly Measurable[];
  readonly seed: number;
  /** Default: the bench without options. */
  readonly command?: readonly string[];
  readonly stackChoice?: StackChoiceRecord;
  readonly peers?: Pick<OpenPeers, "records" | "notes">;
  readonly tuning?: TuningRecord;
}

/**
 * What a result describes: the profile's implementations, those of its sweeps, and second opinions.
 */
export function describedBy(plan: RunPlan, registry: readonly Measurable[]): Measurable[] {
  const planned = plannedCases(plan).map(({ implementation }) => implementation);
  const names = new Set([...plan.profile.implementations, ...planned]);
  return registry.filter(({ name, role }) => names.has(name) || role === "second-opinion");
}

/** A result without cases. */
export async function emptyResult(plan: RunPlan, options: NewResultOptions): Promise<Result> {
  const { profile, notes } = plan;
  const { host, environment, gpu, registry, seed, stackChoice, peers, tuning } = options;
  const { stack } = gpu;
  const configuration = {
    ...configurationOf(plan),
    seed,
    stack,
    ...(tuning && { tuning: tuning.digest }),
  };
  return {
    schemaVersion: SCHEMA_VERSION,
    tool: await host.describeTool(),
    startedAt: new Date().toISOString(),
    finishedAt: null,
    command: [...options.command ?? ["deno", "task", "bench"]],
    profile: profile.name,
    stack,
    ...(stackChoice && { stackChoice }),
    seed,
    configuration,
    hashes: {
      wgsl: await host.hashKernels() ?? "unknown",
      configuration: await hashJson(configuration),
      plan: await hashJson(planIdentity(plan)),
    },
    environment,
    calibration: null,
    implementations: implementationRecords(describedBy(plan, registry)),
    cases: [],
    ratios: [],
    ...(peers && { peers: [...peers.records] }),
    ...(tuning && { tuning }),
    notes: [...notes, ...peers?.notes ?? [], ...strangers(gpu, peers)],
  };
}

/** Peers that compute on a device with another name than the run's adapter. */
function strangers({ adapter }: Gpu, peers: NewResultOptions["peers"]): string[] {
  const { description } = adapter;
  return (peers?.records ?? []).flatMap(({ implementation, device }) =>
    device === null || hasName(adapter, device) ? [] : [
      `${implementation} computes on ${device}, this run on ${description || "no named device"}`,
    ]
  );
}
