/**
 * Values of the options that say which layers are meant; `bench` and `doctor` take the same.
 *
 * @module
 */
import { InvalidArgumentError } from "@commander-js/extra-typings";
import type { Direction } from "../../kernels/implementation.ts";
import { DIRECTIONS, type KRule, kRuleSchema } from "../profile.ts";

/** A whole number, or with K a multiple of 1,024. */
export function parseCount(text: string): number {
  const found = /^([1-9]\d{0,11})([kK]?)$/.exec(text.trim());
  if (!found) throw new InvalidArgumentError(`"${text}" is not a positive whole number.`);
  return Number(found[1]) * (found[2] ? 1024 : 1);
}

/** Whole numbers, separated by commas. */
export function parseCounts(text: string): number[] {
  return text.split(",").map(parseCount);
}

/** Names, separated by commas. */
export function parseNames(text: string): string[] {
  return text.split(",").map((name) => name.trim());
}

/** Selection budgets or rules like N/64, separated by commas. */
export function parseKRules(text: string): KRule[] {
  return text.split(",").map((part) => {
    const rule = part.includes("/") ? part.trim().toUpperCase() : parseCount(part);
    if (!kRuleSchema.safeParse(rule).success) {
      throw new InvalidArgumentError(`"${part}" is neither a number nor a rule like N/64.`);
    }
    return rule;
  });
}

/** Directions, separated by commas. */
export function parseDirections(text: string): Direction[] {
  return text.split(",").map((name) => {
    const found = DIRECTIONS.find((direction) => direction === name.trim());
    if (!found) throw new InvalidArgumentError(`"${name}" is not one of ${DIRECTIONS.join(", ")}.`);
    return found;
  });
}
