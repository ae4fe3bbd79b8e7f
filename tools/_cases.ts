/**
 * Which cases of a table a test runs: `deno task test` the most informative, `deno task test:all` nearly
 * all, `deno task test:long` those too that would take a continuous integration over its time.
 *
 * @module
 */

const LEVEL = Number(Deno.env.get("LIGHTHOUSE_TEST_ALL") ?? 0);

/** Whether `deno task test:all` runs, or `test:long`. */
export const ALL_CASES: boolean = LEVEL >= 1;

/** Whether `deno task test:long` runs. */
export const LONG_CASES: boolean = LEVEL >= 2;

/**
 * Chooses cases of a table that is too long for everyday runs.
 *
 * @param everyday whether `deno task test` keeps a case. Keep each value of each axis at least once.
 * @param all whether `deno task test:all` keeps a case too. Default: it keeps all.
 * @returns the cases to run, and a suffix for the test's name with their number.
 */
export function chooseCases<T>(
  cases: readonly T[],
  everyday: (entry: T, i: number) => boolean,
  all: (entry: T, i: number) => boolean = () => true,
): { readonly cases: readonly T[]; readonly note: string } {
  const daily = cases.filter(everyday);
  const most = cases.filter((entry, i) => everyday(entry, i) || all(entry, i));
  const kept = LONG_CASES ? cases : ALL_CASES ? most : daily;
  const task = most.length < cases.length ? "test:long" : "test:all";
  const note = kept.length === cases.length
    ? ""
    : ` (${kept.length} of ${cases.length} cases; deno task ${task} takes all)`;
  return { cases: kept, note };
}

/**
 * Chooses the same cases for `deno task test` and `test:all`, where a case costs a software adapter many
 * seconds: `test:long` takes all.
 *
 * @param kept whether a case is kept. Keep each value of each axis at least once if that is possible.
 */
export function chooseFew<T>(
  cases: readonly T[],
  kept: (entry: T, i: number) => boolean,
): ReturnType<typeof chooseCases<T>> {
  return chooseCases(cases, kept, () => false);
}

/** Name and switch of a test. */
interface Switched {
  readonly name: string;
  readonly ignore: boolean;
}

/**
 * Name and switch of a test that `deno task test` leaves out:
 *
 *     Deno.test({ ...slow("every shape"), fn: async (t) => {} });
 */
export function slow(name: string): Switched {
  return { name: ALL_CASES ? name : `${name} (deno task test:all)`, ignore: !ALL_CASES };
}

/** The same of a test that only `deno task test:long` runs. */
export function long(name: string): Switched {
  return { name: LONG_CASES ? name : `${name} (deno task test:long)`, ignore: !LONG_CASES };
}
