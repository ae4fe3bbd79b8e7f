/**
 * Which runs were on one card, on any stack.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import {
  deviceIdentity,
  processorName,
  softwareName,
  withoutBrackets,
} from "../../suites/result/device_record.ts";
import { deviceName } from "../claims/claims.ts";

/** A device of runs: a card, or a processor under a software adapter. */
export interface Card {
  /** Identifies it among the cards of the site. */
  readonly key: string;
  /** Its model, the same under every stack. */
  readonly name: string;
  /** What distinguishes it from other cards of its model; null if the site has only one. */
  readonly apart: string | null;
  /** What its runs did not record, so that it may be several cards; null if nothing is missing. */
  readonly doubt: string | null;
}

/** One card while its runs are being collected. */
interface Draft {
  readonly model: string;
  readonly names: string[];
  readonly machine: string;
  readonly uuid: string | null;
  /** Whether a run of it did not record which card it was on. */
  guessed: boolean;
}

/**
 * The card of each result. Cards of one model are distinguished by their UUID if the run recorded it,
 * else by the machine: its processor and cores. A run without a UUID on a machine with one known
 * card of the model counts for that card.
 */
export function collectCards(results: readonly Result[]): Map<Result, Card> {
  const drafts = new Map<string, Draft>();
  const draftOf = (result: Result, uuid: string | null): Draft => {
    const { environment } = result;
    const model = deviceIdentity(environment);
    const machine = machineOf(result);
    const key = JSON.stringify([model, uuid ?? machine, uuid !== null]);
    const found = drafts.get(key) ?? { model, names: [], machine, uuid, guessed: false };
    drafts.set(key, found);
    return found;
  };
  const own = new Map<Result, Draft>();
  for (const result of results) {
    const { uuid } = result.environment.device;
    if (uuid !== undefined && uuid !== "") own.set(result, draftOf(result, uuid));
  }
  const known = [...drafts.values()];
  for (const result of results) {
    if (own.has(result)) continue;
    const model = deviceIdentity(result.environment);
    const alike = known.filter((one) => one.model === model && one.machine === machineOf(result));
    const draft = alike.length === 1 ? alike[0] : draftOf(result, null);
    draft.guessed = true;
    own.set(result, draft);
  }
  for (const [result, draft] of own) draft.names.push(fullName(result));
  const cards = new Map<Draft, Card>();
  for (const ofModel of Map.groupBy(drafts.values(), ({ model }) => model).values()) {
    // In lower case if only the adapter reported it; independent of the order of results.
    const [name] = ofModel.flatMap(({ names }) => names).sort();
    const software = results.some((result) =>
      result.environment.adapter.software && own.get(result) === ofModel[0]
    );
    const machines = new Set(ofModel.map(({ machine }) => machine));
    for (const draft of ofModel) {
      const { model, machine, uuid, guessed } = draft;
      const alone = ofModel.filter((one) => one.machine === machine).length === 1;
      const apart = ofModel.length === 1
        ? null
        : machines.size > 1 && alone
        ? machine
        : uuid === null
        ? `${machine}, card not told`
        : shortUuid(uuid);
      cards.set(draft, {
        key: JSON.stringify([model, uuid ?? machine]),
        name,
        apart,
        doubt: software || !guessed
          ? null
          : "its runs do not all record the card’s UUID, so that " +
            "two cards of this model in machines of one kind would count as one",
      });
    }
  }
  return new Map([...own].map(([result, draft]) => [result, cards.get(draft)!]));
}

/** What distinguishes one machine from another, as far as results record it. */
function machineOf({ environment: { cpu, cores } }: Result): string {
  return `${processorName(cpu)}, ${cores} cores`;
}

/** `GPU-1a2b3c4d-…` as `GPU-1a2b3c4d`. */
function shortUuid(uuid: string): string {
  return uuid.split("-").slice(0, 2).join("-").slice(0, 16);
}

function fullName(result: Result): string {
  const { adapter, cpu } = result.environment;
  const name = deviceName(result);
  return adapter.software ? softwareName(withoutBrackets(name), cpu) : name;
}
