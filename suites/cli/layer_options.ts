/**
 * The options that say which layers are meant; `bench` and `doctor` take the same.
 *
 * @module
 */
import { takesSeveral } from "./parse_command.ts";
import { InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { type Direction, DIRECTIONS, type OptionDescriptor } from "../../kernels/implementation.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { type KRule, kRuleSchema } from "../plan/profile.ts";
import { takesNames } from "./command.ts";

/** A command, as far as options are added to it: its own type grows too large for the compiler. */
interface TakesOptions {
  option(
    flags: string,
    description: string,
    parse: (text: string, before: unknown) => unknown,
  ): this;
  addOption(option: Option): this;
}

/** Values of the options. */
interface LayerValues {
  readonly context?: number[];
  readonly heads?: number[];
  readonly kvHeads?: number[];
  readonly headDim?: number[];
  readonly scorer?: string[];
  readonly implementation?: string[];
  readonly direction?: Direction[];
  readonly dtype?: "auto" | "f16" | "f32";
}

/** Names of the scorers, in the order of the registry. */
const SCORER_NAMES: readonly string[] = IMPLEMENTATIONS.flatMap(({ scorer }) =>
  scorer ? [scorer.name] : []
);

/** `--tuning`, which `bench`, `verify` and `doctor` have. */
export function tuningOption() {
  const option = new Option(
    "--tuning <file>",
    "tilings of dense attention: auto (those that tune found for this device, if any), none (the " +
      "kernels' own), or a file that tune wrote",
  ).default("auto");
  return takesNames(option, ["auto", "none"], { list: false });
}

/** Adds the options to a command, in this order of its help. */
export function addLayerOptions(command: unknown, { verb }: { verb: string }): void {
  (command as TakesOptions)
    .option("--context <list>", "context lengths N, for example 8192,16K", joined(parseCounts))
    .option("--heads <list>", "numbers of heads H", joined(parseCounts))
    .option(
      "--kv-heads <list>",
      "numbers of heads of keys and values, which divide H; default: H",
      joined(parseCounts),
    )
    .option("--head-dim <list>", "head dimensions d", joined(parseCounts))
    .addOption(nameList("--scorer <list>", "Lighthouse scorers", SCORER_NAMES))
    .addOption(
      nameList(
        "--implementation <list>",
        `implementations to ${verb}; default: all of the profile`,
        IMPLEMENTATIONS.map(({ name }) => name),
      ),
    )
    .addOption(nameList("--direction <list>", "passes to run", DIRECTIONS))
    .addOption(
      new Option("--dtype <type>", "storage type; auto: f16 where the device has it")
        .choices(["auto", "f16", "f32"] as const),
    );
  for (const { flag, help, rule, least, takers } of layerFlags()) {
    // Zero is a value where the option's limit allows it.
    const number = (text: string) => least === 0 && text.trim() === "0" ? 0 : parseCount(text);
    (command as TakesOptions).option(
      `--${flag} <list>`,
      `${help}${rule ? "; numbers or rules like N/64" : ""} (${takers.join(", ")})`,
      joined((text: string): KRule[] =>
        text.split(",").map((part) => rule ? parseRule(part, number) : number(part))
      ),
    );
  }
}

/** An option that takes names out of a list, separated by commas. */
export function nameList<Name extends string>(
  flags: string,
  does: string,
  names: readonly Name[],
): Option {
  const help = names.length < 6 ? `${does}: ${names.join(", ")}` : does;
  const parse = joined((text) => parseNames(text, names));
  return takesNames(new Option(flags, help).argParser(parse), names);
}

/** Options of all implementations, each once, with the names of those that take it. */
export function layerFlags(): (OptionDescriptor & { takers: string[] })[] {
  const flags = new Map<string, OptionDescriptor & { takers: string[] }>();
  for (const { name, family, scorer, options } of IMPLEMENTATIONS) {
    for (const option of options) {
      const known = flags.get(option.name) ?? { ...option, takers: [] };
      const everyone = IMPLEMENTATIONS.filter((one) => one.family === family)
        .every((one) => one.options.some(({ name }) => name === option.name));
      const taker = everyone ? family : scorer?.name ?? name;
      if (!known.takers.includes(taker)) known.takers.push(taker);
      // One flag for all: each implementation refuses what it does not take.
      const rule = known.rule || option.rule;
      flags.set(option.name, { ...known, rule, least: Math.min(known.least, option.least) });
    }
  }
  return [...flags.values()];
}

/** An option given twice means both: the last one alone would leave out unasked. */
export function joined<T>(parse: (text: string) => T[]) {
  return takesSeveral((
    text: string,
    before: unknown,
  ): T[] => [...(before as T[] | undefined) ?? [], ...parse(text)]);
}

/** What the options of a parsed command chose, as a plan takes it. */
export function chosenLayers(command: { opts: () => unknown }) {
  const given = command.opts() as LayerValues;
  return {
    contexts: given.context,
    heads: given.heads,
    kvHeads: given.kvHeads,
    headDims: given.headDim,
    options: chosenValues(given),
    implementations: given.implementation,
    scorers: given.scorer,
    directions: given.direction,
    dtype: given.dtype,
  };
}

/** Values of the options of implementations, by name; undefined where none was given. */
function chosenValues(given: LayerValues): Record<string, KRule[]> | undefined {
  const values = given as Readonly<Record<string, KRule[] | undefined>>;
  const found = layerFlags().flatMap(({ name, flag }) => {
    // Commander names an option in camel case.
    const list = values[flag.replace(/-(\w)/g, (_, letter) => letter.toUpperCase())];
    return list ? [[name, list]] : [];
  });
  return found.length > 0 ? Object.fromEntries(found) : undefined;
}

/** A whole number, or with K a multiple of 1,024. */
export function parseCount(text: string): number {
  const found = /^([1-9]\d{0,11})([kK]?)$/.exec(text.trim());
  if (!found) {
    throw new InvalidArgumentError(
      `"${text}" is not a positive whole number of at most 12 digits, like 8192 or 16K.`,
    );
  }
  return Number(found[1]) * (found[2] ? 1024 : 1);
}

/** A positive number of seconds. */
export function parseSeconds(text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) {
    throw new InvalidArgumentError(`"${text}" is not a positive number of seconds.`);
  }
  return value;
}

/** Whole numbers, separated by commas. */
export function parseCounts(text: string): number[] {
  return text.split(",").map(parseCount);
}

/** Names out of a list, separated by commas. */
export function parseNames<Name extends string>(text: string, names: readonly Name[]): Name[] {
  return text.split(",").map((part) => {
    const found = names.find((name) => name === part.trim());
    if (!found) throw new InvalidArgumentError(`"${part}" is not one of ${names.join(", ")}.`);
    return found;
  });
}

/** A number, or a rule like N/64. */
function parseRule(text: string, number: (text: string) => number): KRule {
  const rule = /^\s*[-+.\d]/.test(text) ? number(text) : text.trim().toUpperCase();
  if (!kRuleSchema.safeParse(rule).success) {
    throw new InvalidArgumentError(`"${text}" is neither a number nor a rule like N/64.`);
  }
  return rule;
}
