/**
 * Checks arguments before anything is planned or dispatched. Each check throws one line that names
 * the action, the value and the limit.
 *
 * @module
 */

/** Element types, as errors list them. */
const DTYPES: readonly unknown[] = ["f16", "f32"];

/** Formats a value for an error, in short form: words as they are, other text in quotes. */
export function show(value: unknown): string {
  if (typeof value === "string") {
    return /^[a-z][\w-]{0,39}$/i.test(value) ? value : JSON.stringify(value.slice(0, 40));
  }
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  return Array.isArray(value) ? "an array" : `a ${value.constructor?.name ?? "object"}`;
}

/** A count of things that are called by a regular noun: `1 head`, `8 heads`. */
export function showCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Checks a count or an index.
 *
 * @throws {RangeError} unless it is a whole number within the range. Default: from 1 to 2^53 - 1.
 */
export function requireWhole(
  action: string,
  name: string,
  value: unknown,
  { least = 1, most = Number.MAX_SAFE_INTEGER }: { least?: number; most?: number } = {},
): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return;
  // The limit that every number has is named only where it is what was passed.
  const open = most === Number.MAX_SAFE_INTEGER && !isBeyondWhole(value);
  const range = open ? `from ${least}` : `from ${least} to ${most}`;
  throw new RangeError(`${action}: ${name} ${show(value)} is not a whole number ${range}`);
}

/** Whether a value is whole, and too large to be exact. */
export function isBeyondWhole(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) > Number.MAX_SAFE_INTEGER;
}

/**
 * Checks a quantity that limits the size of work, such as FLOP per dispatch; undefined means no
 * limit.
 *
 * @throws {RangeError} unless it is a number above 0; infinity is allowed.
 */
export function requirePositive(action: string, name: string, value: unknown): void {
  if (value === undefined || typeof value === "number" && value > 0) return;
  throw new RangeError(`${action}: ${name} ${show(value)} is not a number above 0`);
}

/**
 * Checks an element type.
 *
 * @throws {TypeError} listing the element types.
 */
export function requireDType(action: string, dtype: unknown): void {
  if (DTYPES.includes(dtype)) return;
  throw new TypeError(`${action}: dtype ${show(dtype)} is not one of ${DTYPES.join(", ")}`);
}

/**
 * Checks that a value is a record, before its fields are read.
 *
 * @throws {TypeError} when it is not.
 */
export function requireRecord(action: string, name: string, value: unknown): void {
  if (value === undefined) throw new TypeError(`${action}: ${name} is missing`);
  if (typeof value === "object" && value !== null) return;
  throw new TypeError(`${action}: ${name} is ${show(value)}, not an object`);
}

/**
 * Checks elements on the host.
 *
 * @throws {TypeError} when it is not an array of numbers.
 * @throws {RangeError} when its number of elements is not `count`. Default: any number.
 */
export function requireNumbers(
  action: string,
  name: string,
  value: unknown,
  { count, shape }: { count?: number; shape?: string } = {},
): void {
  requireRecord(action, name, value);
  const { length } = value as ArrayLike<unknown>;
  if (!Number.isInteger(length) || length < 0) {
    throw new TypeError(`${action}: ${name} is ${show(value)}, not an array of numbers`);
  }
  if (count !== undefined && length !== count) {
    throw new RangeError(
      `${action}: ${name} has ${length} elements, ${shape ?? "the others"} needs ${count}`,
    );
  }
  const typed = ArrayBuffer.isView(value) && !(value instanceof BigInt64Array) &&
    !(value instanceof BigUint64Array);
  if (typed) return;
  for (let i = 0; i < length; i++) {
    const element = (value as ArrayLike<unknown>)[i];
    if (typeof element === "number") continue;
    throw new TypeError(`${action}: element ${i} of ${name} is ${show(element)}, not a number`);
  }
}
