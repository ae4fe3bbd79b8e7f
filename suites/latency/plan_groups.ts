/**
 * The cases of the suite `latency`: the grid in groups that share inputs.
 *
 * @module
 */
import { bytesPerHead } from "../../kernels/gpu/tensors.ts";
import { inputShapes } from "../../kernels/key_heads.ts";
import { attachCheckGates } from "../plan/check_gates.ts";
import { caseOf, type Planning } from "../plan/grid.ts";
import { PEER_PREFIX } from "../plan/measurable.ts";
import { usableMemory } from "../plan/memory_limit.ts";
import {
  BASELINE,
  type PlannedCase,
  type PlannedDevice,
  type PlannedGroup,
} from "../plan/planned_case.ts";
import { latencyRecord } from "./record.ts";

/** Groups in the order in which they run, and notes on cases that cannot be paired. */
export function planGroups(
  planning: Planning,
): { readonly groups: PlannedGroup[]; readonly notes: string[] } {
  const cases = attachCheckGates(
    planning.grid.map((point) => caseOf(point, latencyRecord.name)),
    planning,
  );
  const notes: string[] = [];
  const { device, profile: { firstContext } } = planning;
  return { groups: groupCases(cases, { device, notes, firstContext }), notes };
}

/**
 * Groups by shape and direction. The contexts of the forward pass come first, since the claims
 * depend on them: a budget that runs out must not cost the longest of them. Within these, and among
 * the rest, the lightest come first, so that early cases improve later predictions. A profile may
 * name a context that comes before all others, which then grow.
 */
function groupCases(
  cases: readonly PlannedCase[],
  options: { device: PlannedDevice; notes: string[]; firstContext?: number },
): PlannedGroup[] {
  const byShape = new Map<string, PlannedCase[]>();
  for (const entry of cases) {
    const key = JSON.stringify([entry.direction, entry.problem.shape]);
    byShape.set(key, [...byShape.get(key) ?? [], entry]);
  }
  const groups: PlannedGroup[] = [];
  for (const members of byShape.values()) {
    const baseline = members.find((entry) => entry.implementation === BASELINE);
    const candidates = placePeersAfterCounterparts(members.filter((entry) => entry !== baseline));
    const together = candidates.filter((entry) => fitTogether(baseline, entry, options.device));
    const alone = candidates.filter((entry) => !together.includes(entry));
    groups.push({ baseline, candidates: together });
    for (const entry of alone) {
      options.notes.push(
        `${entry.id} and its baseline do not fit the device's memory together: no ratio`,
      );
      groups.push({ candidates: [entry] });
    }
  }
  // The longest execution of a group decides; equal ones keep the order of the profile.
  const work = ({ baseline, candidates }: PlannedGroup) =>
    Math.max(
      0,
      ...[baseline, ...candidates].map((entry) =>
        entry?.plan && !entry.predictedOnly ? entry.plan.flops : 0
      ),
    );
  const leads = ({ baseline, candidates }: PlannedGroup) =>
    baseline !== undefined && !baseline.predictedOnly && baseline.direction === "forward" &&
    [baseline, ...candidates].some((entry) => entry.sweeps.includes("context"));
  const { firstContext } = options;
  if (firstContext !== undefined) {
    const rank = ({ baseline, candidates }: PlannedGroup) => {
      const { context } = (baseline ?? candidates[0]).problem.shape;
      return context === firstContext ? 0 : context;
    };
    return groups.sort((a, b) => rank(a) - rank(b) || work(a) - work(b));
  }
  return groups.sort((a, b) => Number(leads(b)) - Number(leads(a)) || work(a) - work(b));
}

/** Peers of a layer with options right after ours of the same layer, to share its rounds. */
function placePeersAfterCounterparts(cases: readonly PlannedCase[]): PlannedCase[] {
  const moves = (entry: PlannedCase) =>
    entry.problem.options !== undefined && entry.implementation.startsWith(PEER_PREFIX);
  const layerOf = ({ family, scorer, problem }: PlannedCase) =>
    JSON.stringify([family, scorer, problem.options]);
  const ordered = cases.filter((entry) => !moves(entry));
  for (const entry of cases.filter(moves)) {
    const at = ordered.findLastIndex((other) => layerOf(other) === layerOf(entry));
    ordered.splice(at < 0 ? ordered.length : at + 1, 0, entry);
  }
  return ordered;
}

function fitTogether(
  baseline: PlannedCase | undefined,
  candidate: PlannedCase,
  device: PlannedDevice,
): boolean {
  if (!baseline?.plan || !candidate.plan || baseline.skip || candidate.skip) return true;
  if (baseline.predictedOnly) return true;
  const { q, k, v } = inputShapes(candidate.problem.shape);
  const inputs = [q, k, v].reduce((sum, one) => sum + one.heads * bytesPerHead(one), 0);
  return baseline.plan.peakBytes + candidate.plan.peakBytes - inputs <= usableMemory(device);
}
