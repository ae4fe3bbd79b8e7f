import assert from "node:assert/strict";
import { IMPLEMENTATIONS } from "../kernels/implementations.ts";
import { SCORERS } from "../kernels/lighthouse/scorers/scorers.ts";
import { SUITES } from "../suites/suites.ts";
import { filesThatKnow, readTexts } from "./_known_names.ts";

const TEXTS = await readTexts(new URL("../", import.meta.url));

/** The one list of each kind, which names each folder's content. */
const REGISTRIES = [
  "kernels/implementations.ts",
  "kernels/lighthouse/scorers/scorers.ts",
  "kernels/lighthouse/lighthouse_attention.ts",
  "kernels/mod.ts",
  "suites/suites.ts",
  "suites/result/suite_records.ts",
];

/** Most files outside its folder that may know a name, where more may than for a new one. */
const SCORER_LIMITS: Record<string, { most: number; why: string }> = {
  norm: {
    most: 23,
    why:
      "the scorer of the paper's headline: claims and figures are about it by name, others are " +
      "compared with it, and examples take it",
  },
  dilated: { most: 6, why: "a finding about it, golden vectors, and orders of figures" },
  gla: { most: 7, why: "golden vectors, its seeded gates in two checks, and orders of figures" },
  random: {
    most: 7,
    why: "in all of them it is the arm of the needle suite that keeps random rows",
  },
};

const IMPLEMENTATION_LIMITS: typeof SCORER_LIMITS = {
  "dense": {
    most: 25,
    why:
      "the baseline of every ratio, what claims are over, what peers compute, an arm of needles, " +
      "layers of a model, models that train",
  },
  "dense-naive": { most: 3, why: "the control of paired runs, and an example in the schema" },
};

const SUITE_LIMITS: typeof SCORER_LIMITS = {
  "correctness": {
    most: 5,
    why: "verify and doctor share its checks; three sections leave it out",
  },
  "latency": {
    most: 8,
    why: "sections about the time of a layer, the default of paired runs, an example in the schema",
  },
  "training": {
    most: 7,
    why: "its schema, the request that peers which train take, and names of cases on the site",
  },
  "retrieval": {
    most: 11,
    why:
      "its schema, files of version 1, a claim of the same name, the site (a page of its own, its " +
      "word in summaries of runs, its link from the claim), what rivals find of its needles, and " +
      "trained models, which take its test",
  },
};

/** Limits of a new one: none for a scorer or an implementation; for a suite its schema and section. */
const NEW = { scorer: 0, implementation: 0, suite: 2 };

function assertKnown(
  name: string,
  options: { home: string[]; prefix?: string; folder?: string },
  limit: { most: number; why: string },
  texts = TEXTS,
) {
  const files = filesThatKnow(texts, name, { ...options, home: [...options.home, ...REGISTRIES] });
  assert.ok(
    files.length <= limit.most,
    `${files.length} files outside its folder know ${name}, the limit is ${limit.most} ` +
      `(${limit.why}): ${files.join(", ")}`,
  );
}

Deno.test("few files outside a scorer's folder know its name", () => {
  for (const { name } of SCORERS) {
    const folder = `scorers/${name}`;
    assertKnown(name, {
      home: [`kernels/lighthouse/${folder}`],
      prefix: "lighthouse-",
      folder,
    }, SCORER_LIMITS[name] ?? { most: NEW.scorer, why: "a scorer is a folder and one line" });
  }
});

Deno.test("few files outside an implementation's folder know its name", () => {
  for (const { name, scorer } of IMPLEMENTATIONS) {
    if (scorer) continue;
    // The folder whose file defines the name.
    const declared = TEXTS.find(({ path, text }) =>
      path.startsWith("kernels/") && new RegExp(`\\bname: "${name}"`).test(text)
    );
    assert.ok(declared, name);
    const home = [declared.path.slice(0, declared.path.lastIndexOf("/"))];
    assertKnown(
      name,
      { home },
      IMPLEMENTATION_LIMITS[name] ?? {
        most: NEW.implementation,
        why: "an implementation is a folder and one line",
      },
    );
  }
});

/** The sources without imports of kernels, whose folders may have the name of a suite. */
const SUITE_TEXTS = TEXTS.map(({ path, text }) => ({
  path,
  text: text.replace(/from "[^"]*\/kernels\/[^"]*"/g, 'from ""'),
}));

Deno.test("few files outside a suite's folder know its name", () => {
  for (const { record: { name } } of SUITES) {
    const folder = name.replaceAll("-", "_");
    assertKnown(
      name,
      { home: [`suites/${folder}`], folder },
      SUITE_LIMITS[name] ?? {
        most: NEW.suite,
        why: "a suite is a folder, its schema, its section of a report, and one line",
      },
      SUITE_TEXTS,
    );
  }
});

Deno.test("code that runs, joins and compares suites names none", () => {
  const loops = SUITE_TEXTS.filter(({ path }) =>
    /^suites\/(run|plan|measure)\/|^suites\/suite\.ts|^suites\/cli\/[^/]*$|^reports\/gate\//.test(
      path,
    )
  );
  assert.ok(loops.length > 50);
  for (const { record: { name } } of SUITES) {
    const folder = name.replaceAll("-", "_");
    // `verify` and `doctor` are separate commands that share the checks of one suite.
    const home = ["suites/cli/verify.ts", "suites/run/doctor.ts"];
    assert.deepEqual(filesThatKnow(loops, name, { home, folder }), [], name);
  }
});

Deno.test("filesThatKnow finds names in code, and not in comments or longer words", () => {
  const known = (text: string) =>
    filesThatKnow([{ path: "a.ts", text }], "gla", {
      home: [],
      prefix: "lighthouse-",
      folder: "scorers/gla",
    }).length === 1;
  for (
    const text of [
      'scorer === "gla"',
      "['gla']",
      "`lighthouse-gla`",
      'import { x } from "../scorers/gla/x.ts";',
      '"gla/forward"',
    ]
  ) assert.ok(known(text), text);
  for (
    const text of ['// "gla"', '/* "gla" */', '"glad"', '"single-gla"', "gla", '"./other/x.ts"']
  ) {
    assert.ok(!known(text), text);
  }
  const texts = [{ path: "kernels/gla/x.ts", text: '"gla"' }];
  assert.deepEqual(filesThatKnow(texts, "gla", { home: ["kernels/gla"] }), []);
});
