/**
 * Every scorer of Lighthouse attention. To add one, add a folder next to this file and one line
 * here; its layer, flags, labels and checks are derived.
 *
 * @module
 */
import { dilatedScorer } from "./dilated/dilated_scorer.ts";
import { glaScorer } from "./gla/gla_scorer.ts";
import { normScorer } from "./norm/norm_scorer.ts";
import { randomScorer } from "./random/random_scorer.ts";
import type { Scorer } from "./scorer.ts";

/** All scorers, the paper's default first. */
export const SCORERS: readonly Scorer[] = [normScorer, dilatedScorer, glaScorer(), randomScorer];

/**
 * The scorer of that name.
 *
 * @throws {RangeError} one line that lists all scorers.
 */
export function findScorer(name: string): Scorer {
  const found = SCORERS.find((scorer) => scorer.name === name);
  if (found) return found;
  const names = SCORERS.map((scorer) => scorer.name).join(", ");
  throw new RangeError(`attention: scorer ${name} is not one of ${names}`);
}
