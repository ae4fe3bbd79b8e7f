/**
 * Which cases of a table a test runs: `deno task test` the most informative, `deno task test:all` all.
 *
 * @module
 */

/** Whether `deno task test:all` runs. */
export const ALL_CASES: boolean = Deno.env.get("LIGHTHOUSE_TEST_ALL") === "1";

/**
 * Chooses cases of a table that is too long for everyday runs.
 *
 * @param everyday whether `deno task test` keeps a case. Keep each value of each axis at least once.
 * @returns the cases to run, and a suffix for the test's name with their number.
 */
export function chooseCases<T>(
  cases: readonly T[],
  everyday: (entry: T, i: number) => boolean,
): { readonly cases: readonly T[]; readonly note: string } {
  const kept = ALL_CASES ? cases : cases.filter(everyday);
  const note = kept.length === cases.length
    ? ""
    : ` (${kept.length} of ${cases.length} cases; deno task test:all takes all)`;
  return { cases: kept, note };
}

/**
 * Name and switch of a test that only `deno task test:all` runs:
 *
 *     Deno.test({ ...slow("every shape"), fn: async (t) => {} });
 */
export function slow(name: string): { readonly name: string; readonly ignore: boolean } {
  return { name: ALL_CASES ? name : `${name} (deno task test:all)`, ignore: !ALL_CASES };
}
