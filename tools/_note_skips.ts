/**
 * Loaded before the tests of a file: records their messages when they skip, which `deno test --quiet`
 * does not show. `run_tests.ts` prints it at the end.
 *
 * @module
 */
const path = Deno.env.get("LIGHTHOUSE_TEST_SKIPS");
if (path) {
  const warn = console.warn;
  console.warn = (...words: unknown[]) => {
    warn(...words);
    const [line] = words;
    if (typeof line === "string" && line.startsWith("skipped")) {
      Deno.writeTextFileSync(path, `${line.replaceAll("\n", " ")}\n`, { append: true });
    }
  };
}
