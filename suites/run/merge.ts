/**
 * Joins the results of a plan's shards into one result.
 *
 * @module
 */
import { CLOCK_LIMIT } from "../device/clock.ts";
import { NotComparableError, UsageError } from "../errors.ts";
import { sha256 } from "../result/digest.ts";
import type { CaseRecord, Result, ShardRecord } from "../result/result_schema.ts";
import type { SuiteRecord } from "../result/suite_record.ts";
import { SUITE_RECORDS } from "../result/suite_records.ts";

/** Readable names of the clocks of a calibration. */
export const CLOCK_NAMES = { gpu: "GPU timestamps", wall: "wall clock" } as const;

/** Of two records of one case, the one with the higher rank is kept. */
const RANK: Record<CaseRecord["status"], number> = {
  skipped: 0,
  ok: 1,
  inconclusive: 2,
  failed: 3,
};

/** A result with its name in error messages. */
export interface NamedResult {
  readonly name: string;
  readonly result: Result;
}

/** A merged result, and the cases of the plan that no shard contains. */
export interface Merged {
  readonly result: Result;
  readonly missing: readonly string[];
}

/**
 * Merges shards of one plan.
 *
 * Times from different machines cannot share a table, so the shards must have one device
 * fingerprint. With `mixedMachines` they may differ: ratios still stay within one machine,
 * each case names its machine, and the merged result gets a fingerprint of its own.
 *
 * One result holds times of one clock, which no option overrides. Shards without times have no
 * clock. The first calibration is kept; if the shards' devices differed in speed, a note says so.
 *
 * @throws {UsageError} when a result is not a shard, or a shard is given twice.
 * @throws {NotComparableError} when plan, code, configuration, seed, stack, clock or machine
 * differ.
 */
export async function mergeResults(
  shards: readonly NamedResult[],
  options: { mixedMachines?: boolean; records?: readonly SuiteRecord[] } = {},
): Promise<Merged> {
  if (shards.length === 0) throw new UsageError("merge: 0 results given, 1 needed");
  const parts = shards.map(({ name, result }) => ({ name, result, shard: shardOf(name, result) }));
  parts.sort((a, b) => a.shard.index - b.shard.index);
  const [first] = parts;
  const timed = parts.find(({ result }) => result.calibration !== null);
  for (const [i, part] of parts.entries()) {
    const { calibration } = part.result;
    const clocks = calibration && timed &&
      [calibration.clock, timed.result.calibration!.clock] as const;
    if (clocks && clocks[0] !== clocks[1]) {
      throw new NotComparableError(
        `merge ${part.name}: its times are ${CLOCK_NAMES[clocks[0]]}, those of ${timed.name} ` +
          CLOCK_NAMES[clocks[1]],
      );
    }
    const differs = [
      ["plan", part.shard.plan, first.shard.plan],
      ["number of shards", part.shard.count, first.shard.count],
      ["commit", part.result.tool.commit, first.result.tool.commit],
      ["shader code", part.result.hashes.wgsl, first.result.hashes.wgsl],
      ["configuration", part.result.hashes.configuration, first.result.hashes.configuration],
      ["seed", part.result.seed, first.result.seed],
      ["stack", part.result.stack, first.result.stack],
      ["version of a peer", ...peerVersions(part.result, first.result)],
      ...(options.mixedMachines ? [] : [
        [
          "machine (--mixed-machines allows it)",
          part.result.environment.fingerprint,
          first.result.environment.fingerprint,
        ],
      ]),
    ].filter(([, is, was]) => is !== was).map(([name]) => name);
    if (differs.length > 0) {
      throw new NotComparableError(
        `merge ${part.name}: it has another ${differs.join(", ")} than ${first.name}`,
      );
    }
    if (i > 0 && part.shard.index === parts[i - 1].shard.index) {
      throw new UsageError(
        `merge: ${parts[i - 1].name} and ${part.name} are both shard ` +
          `${part.shard.index}/${part.shard.count}`,
      );
    }
  }
  const fingerprints = new Set(parts.map(({ result }) => result.environment.fingerprint));
  const mixed = fingerprints.size > 1;
  const cases = new Map<string, CaseRecord>();
  const unlike = new Set<string>();
  for (const { result } of parts) {
    for (const record of result.cases) {
      const known = cases.get(record.id);
      if (!mixed && known && digestsDiffer(known, record)) unlike.add(record.id);
      const own = mixed ? { ...record, machine: result.environment.fingerprint } : record;
      // A check that several shards ran counts once, and fails if it failed anywhere.
      if (!known || RANK[own.status] > RANK[known.status]) cases.set(record.id, own);
    }
  }
  const { cases: order } = first.shard;
  const missing = order.filter((id) => !cases.has(id));
  const notes = [
    ...new Set(parts.flatMap(({ result }) => result.notes)),
    ...[...unlike].map((id) => `shards found different digests of ${id}`),
    `joined from ${parts.length} of ${first.shard.count} shards`,
    ...(mixed
      ? [`measured on ${fingerprints.size} machines: compare ratios, not times, between cases`]
      : describeRates(parts)),
    ...(missing.length > 0 ? [`${missing.length} cases of the plan are missing`] : []),
  ];
  const finished = parts.map(({ result }) => result.finishedAt);
  const complete = missing.length === 0 && !finished.includes(null);
  const joined = (options.records ?? SUITE_RECORDS).flatMap(({ part }) => {
    const whole = part?.join(parts.map(({ result }) => result));
    return part && whole !== undefined ? [[part.key, whole]] : [];
  });
  const peers = joinPeers(parts.map(({ result }) => result));
  // Clock readings belong to one run: the shards' samples already carry their flags.
  const { shard: _, keepWarm: __, peers: ___, stackChoice, ...rest } = first.result;
  const result: Result = {
    ...rest,
    startedAt: parts.map(({ result }) => result.startedAt).sort()[0],
    finishedAt: complete ? finished.toSorted().at(-1)! : null,
    command: withoutShard(first.result.command),
    tool: { ...rest.tool, dirty: joinDirty(parts.map(({ result }) => result.tool.dirty)) },
    calibration: joinCalibration(parts.map(({ result }) => result.calibration)),
    hashes: { ...rest.hashes, plan: first.shard.plan },
    // Each of several machines had its own reason.
    ...(stackChoice && !mixed && { stackChoice }),
    environment: mixed
      ? {
        ...rest.environment,
        fingerprint: await sha256([...fingerprints].sort().join("\n")),
        machines: parts.map(({ shard, result }) => ({
          shard: shard.index,
          fingerprint: result.environment.fingerprint,
          adapter: result.environment.adapter.description,
          cpu: result.environment.cpu,
        })),
      }
      : rest.environment,
    cases: [
      ...order.flatMap((id) => cases.get(id) ?? []),
      ...[...cases.values()].filter(({ id }) => !order.includes(id)),
    ],
    ratios: parts.flatMap(({ result }) => result.ratios),
    notes,
    ...Object.fromEntries(joined),
    ...(peers.length > 0 && { peers }),
  };
  return { result, missing };
}

/** Changed if any shard's tree was; unknown if one is unknown and none was changed. */
function joinDirty(all: readonly (boolean | null)[]): boolean | null {
  return all.includes(true) ? true : all.includes(null) ? null : false;
}

/** The first calibration, with the coarsest timestamp step, which holds for all samples. */
export function joinCalibration(all: readonly Result["calibration"][]): Result["calibration"] {
  const found = all.filter((one) => one !== null);
  if (found.length === 0) return null;
  const steps = found.flatMap(({ timestampGranularity }) => timestampGranularity ?? []);
  return { ...found[0], ...(steps.length > 0 && { timestampGranularity: Math.max(...steps) }) };
}

/** A note if one machine's speed differed between the calibrations of its shards. */
function describeRates(
  parts: readonly { result: Result; shard: ShardRecord }[],
): string[] {
  const rates = parts.flatMap(({ result: { calibration, environment }, shard }) => {
    const rate = calibration?.fmaF32?.median;
    return rate === undefined || environment.adapter.software ? [] : [{ rate, index: shard.index }];
  }).sort((a, b) => a.rate - b.rate);
  const [slowest, fastest] = [rates[0], rates.at(-1)];
  if (!slowest || !fastest || fastest.rate <= CLOCK_LIMIT * slowest.rate) return [];
  return [
    `the device reached ${
      (slowest.rate / fastest.rate).toPrecision(2)
    } of the arithmetic in shard ` +
    `${slowest.index} that it reached in shard ${fastest.index}: compare ratios, not times, ` +
    "between shards",
  ];
}

/** Whether a check gave different bits on two shards of one machine. */
function digestsDiffer({ digest: one }: CaseRecord, { digest: other }: CaseRecord): boolean {
  return Object.entries(one ?? {}).some(([name, value]) =>
    other?.[name] !== undefined && other[name] !== value
  );
}

/** Versions of the peers that both results could run, for each result. */
export function peerVersions(...results: [Result, Result]): [string, string] {
  const there = results.map(({ peers }) =>
    new Map(
      (peers ?? []).filter(({ unavailable }) => unavailable === undefined)
        .map(({ implementation, versions }) => [implementation, versions]),
    )
  );
  const both = [...there[0].keys()].filter((name) => there[1].has(name)).sort();
  const [one, other] = there.map((peers) =>
    JSON.stringify(
      both.map((name) => Object.entries(peers.get(name)!).sort(([a], [b]) => a < b ? -1 : 1)),
    )
  );
  return [one, other];
}

/** Each peer once, as described by a machine that could run it. */
function joinPeers(results: readonly Result[]): NonNullable<Result["peers"]> {
  const peers = new Map<string, NonNullable<Result["peers"]>[number]>();
  for (const peer of results.flatMap(({ peers }) => peers ?? [])) {
    const known = peers.get(peer.implementation);
    if (!known || known.unavailable !== undefined) peers.set(peer.implementation, peer);
  }
  return [...peers.values()];
}

function shardOf(name: string, { shard }: Result): ShardRecord {
  if (shard !== undefined && shard.index <= shard.count) return shard;
  throw new UsageError(`merge ${name}: it is not a shard; run the bench with --shard i/n`);
}

function withoutShard(command: readonly string[]): string[] {
  return command.filter((word, i) =>
    word !== "--shard" && command[i - 1] !== "--shard" && !word.startsWith("--shard=")
  );
}
