/**
 * Joins the results of a plan's shards into one result.
 *
 * @module
 */
import { NotComparableError, UsageError } from "./errors.ts";
import { sha256 } from "./environment.ts";
import type { CaseRecord, Result } from "./result_schema.ts";
import { joinRetrieval } from "./retrieval/join_retrieval.ts";
import { type ShardRecord, shardRecordSchema } from "./shard.ts";

/** A result with the name that errors call it by. */
export interface NamedResult {
  readonly name: string;
  readonly result: Result;
}

/** A merged result, and the cases of the plan that no shard brought. */
export interface Merged {
  readonly result: Result;
  readonly missing: readonly string[];
}

/**
 * Merges shards of one plan.
 *
 * Times of different machines do not belong into one table, so the shards must have one device
 * fingerprint. With `mixedMachines` they may differ: ratios stay within one machine all the same,
 * each case names its machine, and the merged fingerprint is one of its own.
 *
 * @throws {UsageError} when a result is no shard, or a shard is given twice.
 * @throws {NotComparableError} when plan, code, configuration, seed, stack or machine differ.
 */
export async function mergeResults(
  shards: readonly NamedResult[],
  options: { mixedMachines?: boolean } = {},
): Promise<Merged> {
  if (shards.length === 0) throw new UsageError("merge: 0 results given, 1 needed");
  const parts = shards.map(({ name, result }) => ({ name, result, shard: shardOf(name, result) }));
  parts.sort((a, b) => a.shard.index - b.shard.index);
  const [first] = parts;
  for (const [i, part] of parts.entries()) {
    const differs = [
      ["plan", part.shard.plan, first.shard.plan],
      ["number of shards", part.shard.count, first.shard.count],
      ["commit", part.result.tool.commit, first.result.tool.commit],
      ["shader code", part.result.hashes.wgsl, first.result.hashes.wgsl],
      ["configuration", part.result.hashes.configuration, first.result.hashes.configuration],
      ["seed", part.result.seed, first.result.seed],
      ["stack", part.result.stack, first.result.stack],
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
  for (const { result } of parts) {
    for (const record of result.cases) {
      const known = cases.get(record.id);
      const own = mixed ? { ...record, machine: result.environment.fingerprint } : record;
      // A check that several shards needed counts once, and a failure of it anywhere is a failure.
      if (!known || known.status === "ok" && own.status !== "ok") cases.set(record.id, own);
    }
  }
  const { cases: order } = first.shard;
  const missing = order.filter((id) => !cases.has(id));
  const notes = [
    ...new Set(parts.flatMap(({ result }) => result.notes)),
    `joined from ${parts.length} of ${first.shard.count} shards`,
    ...(mixed
      ? [`measured on ${fingerprints.size} machines: compare ratios, not times, between cases`]
      : []),
    ...(missing.length > 0 ? [`${missing.length} cases of the plan are missing`] : []),
  ];
  const finished = parts.map(({ result }) => result.finishedAt);
  const complete = missing.length === 0 && !finished.includes(null);
  const retrieval = joinRetrieval(parts.map(({ result }) => result.retrieval));
  const { shard: _, ...rest } = first.result as Result & { shard?: unknown };
  const result: Result = {
    ...rest,
    startedAt: parts.map(({ result }) => result.startedAt).sort()[0],
    finishedAt: complete ? finished.toSorted().at(-1)! : null,
    command: withoutShard(first.result.command),
    tool: { ...rest.tool, dirty: parts.some(({ result }) => result.tool.dirty === true) },
    hashes: { ...rest.hashes, plan: first.shard.plan },
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
    ...(retrieval && { retrieval }),
  };
  return { result, missing };
}

function shardOf(name: string, result: Result): ShardRecord {
  const found = shardRecordSchema.safeParse((result as { shard?: unknown }).shard);
  if (found.success && found.data.index <= found.data.count) return found.data;
  throw new UsageError(`merge ${name}: it is no shard; run the bench with --shard i/n`);
}

function withoutShard(command: readonly string[]): string[] {
  return command.filter((word, i) =>
    word !== "--shard" && command[i - 1] !== "--shard" && !word.startsWith("--shard=")
  );
}
