/**
 * What the page's address asks for.
 *
 * @module
 */
import { plainText } from "../suites/result/plain_text.ts";
import { MAX_RETRIEVAL_SEED } from "../suites/retrieval/plan_needles.ts";
import { MAX_SEED } from "../suites/run/run_on.ts";
import { type ModeName, MODES } from "./modes.ts";

/** Longest name of a GPU, characters. */
export const MOST_NAME_CHARACTERS = 80;

/** Longest run that an address may ask for, seconds. */
const MOST_BUDGET_SECONDS = 3600;

/** What an address asks for; undefined is the page's own choice. */
export interface Asked {
  readonly mode?: ModeName;
  readonly deviceName?: string;
  readonly seed?: number;
  readonly budgetSeconds?: number;
  /** Whether the run begins as soon as the device is there: never with a complaint. */
  readonly autostart: boolean;
  /** The first value that cannot be used, in one line. */
  readonly complaint?: string;
}

/**
 * Reads the part of an address after `?`. Parameters that the page does not know are left alone: links
 * collect them.
 *
 * @example
 * ```ts
 * import { readAddress } from "./address.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(readAddress("?mode=long&autostart"), { mode: "long", autostart: true });
 * assert.match(readAddress("?budget=0").complaint!, /budget 0 is not a whole number from 1 to 3600/);
 * ```
 */
export function readAddress(search: string): Asked {
  const given = new URLSearchParams(search);
  try {
    const mode = oneOf(given, "mode", MODES.map(({ name }) => name));
    const most = mode === "needle" ? MAX_RETRIEVAL_SEED : MAX_SEED;
    const asked = {
      mode,
      deviceName: nameOf(given),
      seed: wholeOf(given, "seed", { least: 0, most }),
      budgetSeconds: wholeOf(given, "budget", { least: 1, most: MOST_BUDGET_SECONDS }),
    };
    const autostart = oneOf(given, "autostart", ["", "1", "true", "0", "false"]);
    return {
      ...Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined)),
      autostart: autostart !== undefined && !["0", "false"].includes(autostart),
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return {
      autostart: false,
      complaint: `cannot use the address: ${error.message}; nothing was started`,
    };
  }
}

function only(given: URLSearchParams, name: string): string | undefined {
  const values = given.getAll(name);
  if (values.length > 1) throw new RangeError(`${name} is given ${values.length} times`);
  return values.at(0);
}

function oneOf<Value extends string>(
  given: URLSearchParams,
  name: string,
  known: readonly Value[],
): Value | undefined {
  const value = only(given, name);
  if (value === undefined) return undefined;
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  const names = known.filter((one) => one !== "").join(", ");
  throw new RangeError(`${name} ${shorten(value)} is not one of ${names}`);
}

function wholeOf(
  given: URLSearchParams,
  name: string,
  { least, most }: { least: number; most: number },
): number | undefined {
  const text = only(given, name);
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw new RangeError(`${name} ${shorten(text)} is not a whole number from ${least} to ${most}`);
}

function nameOf(given: URLSearchParams): string | undefined {
  const name = only(given, "device");
  if (name === undefined || name.length <= MOST_NAME_CHARACTERS) return name;
  throw new RangeError(
    `device has ${name.length} characters, the limit is ${MOST_NAME_CHARACTERS}`,
  );
}

/** A value for a line: its beginning, without characters that change how the line is read. */
function shorten(value: string): string {
  const text = plainText(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text || '""';
}
