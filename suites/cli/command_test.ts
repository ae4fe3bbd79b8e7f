/** What every command has: help in groups with examples, a version, quiet, plain complaints. */
import assert from "node:assert/strict";
import manifest from "../../deno.json" with { type: "json" };
import { EXIT, UsageError } from "../errors.ts";
import { parseBench } from "./bench.ts";
import { completedOption, VERSION } from "./command.ts";
import { COMMANDS, completion } from "./completion.ts";
import { installDriverCommand } from "./install_driver.ts";
import { shownLine, suggestName } from "./errors.ts";
import { parseCommand } from "./parse_command.ts";

type Parsed = Parameters<typeof parseCommand>[0] & {
  helpInformation(): string;
  outputHelp(): void;
};

/** A fresh command and what it prints. */
function make(name: string): { command: Parsed; help: string } {
  const command = COMMANDS[name]() as unknown as Parsed;
  let help = "";
  command.configureOutput({ writeOut: (text) => help += text, getOutHasColors: () => false });
  command.outputHelp();
  return { command, help };
}

Deno.test("help: the task's name, groups with the common options last, examples that parse", () => {
  for (const name of Object.keys(COMMANDS)) {
    const { help } = make(name);
    assert.match(help, new RegExp(`^Usage: deno task ${name} \\[options\\]`), name);
    const groups = [...help.matchAll(/^(\S[^:]*):$/gm)].map(([, group]) => group);
    const last = groups.filter((group) => group !== "Suites").slice(-2);
    assert.deepEqual(last, ["Other", "Examples"], name);
    for (const line of help.split("\n")) assert.ok(line.length <= 80, `${name}: ${line}`);
    assert.match(help, /^ +-V, --version /m);
    assert.match(help, /^ +-q, --quiet /m);
    const examples = [...help.matchAll(/^ +deno task (?:-q )?(\S+)(.*?) +# /gm)];
    assert.ok(examples.length > 0, name);
    for (const [, task, rest] of examples) {
      assert.equal(task, name);
      assert.ok(parseCommand(make(name).command, rest.trim().split(" ").filter(Boolean)), rest);
    }
  }
});

Deno.test("every task that people type is a command with help, and the other way round", () => {
  const developers = [
    "example-page",
    "driver",
    "test",
    "test:all",
    "test:long",
    "check",
    "package",
    "doc-test",
    "bench:host",
  ];
  const known = [...Object.keys(COMMANDS), ...developers, "generate", "readme", "gate-quality"];
  assert.deepEqual(Object.keys(manifest.tasks).sort(), known.sort());
});

Deno.test("--version names the project", () => {
  const said: string[] = [];
  const log = console.log;
  console.log = (text) => said.push(text);
  try {
    assert.equal(completion(["--version"]), EXIT.fine);
  } finally {
    console.log = log;
  }
  assert.deepEqual(said, [VERSION]);
  assert.match(VERSION, /^Lighthouse Attention Bench \d/);
});

Deno.test("complaints are the option, the value and what it must be", () => {
  const refused: [string, string, string][] = [
    ["bench", "--profile papr", "--profile papr is not one of smoke, standard, paper, rivals"],
    [
      "bench",
      "--context 8Q",
      '--context: "8Q" is not a positive whole number of at most 12 digits, like 8192 or 16K',
    ],
    ["bench", "--context", "--context needs a value"],
    ["bench", "--contxt 8", "unknown option '--contxt' (Did you mean --context?)"],
    ["site", "a.json", "--out is required"],
    ["report", "", "argument result is required"],
    ["verify", "extra", "too many arguments: extra; expected 0"],
    ["completion", "tcsh", "shell tcsh is not one of bash, zsh, fish"],
  ];
  for (const [name, line, complaint] of refused) {
    const command = COMMANDS[name]() as unknown as Parsed;
    assert.throws(
      () => parseCommand(command, line.split(" ").filter(Boolean)),
      (error) => error instanceof UsageError && error.message === complaint,
      `${name} ${line}`,
    );
  }
});

Deno.test("an empty name of a file or folder is refused by every command, in one line", () => {
  let found = 0;
  for (const [name, make] of Object.entries(COMMANDS)) {
    const { options, registeredArguments } = make() as unknown as {
      options: { long: string; flags: string }[];
      registeredArguments: { required: boolean; argChoices?: string[] }[];
    };
    const needed = registeredArguments.filter(({ required }) => required)
      .map(({ argChoices }) => argChoices?.[0] ?? "a.json");
    for (const { long } of options.filter((option) => completedOption(option).path)) {
      const command = make() as unknown as Parsed;
      assert.throws(
        () => parseCommand(command, [...needed, "--out", "x", long, ""]),
        (error) =>
          error instanceof UsageError &&
          new RegExp(`^${long} is empty: it takes the name of a (file|folder)$|unknown option`)
            .test(error.message),
        `${name} ${long}`,
      );
      found += Number(long === "--out");
    }
  }
  assert.ok(found >= 6, `${found} commands with --out`);
});

Deno.test("an option given twice counts twice, or is refused in one line", () => {
  let found = 0;
  for (const [name, make] of Object.entries(COMMANDS)) {
    const given = make() as unknown as Parsed & {
      options: { long: string; flags: string; required: boolean; variadic: boolean }[];
    };
    for (const { long, flags, required, variadic } of given.options) {
      // Those with rules of their own refuse the values before.
      if (!required || variadic || !/<(folder|dir|file|revision|address)>/.test(flags)) continue;
      assert.throws(
        () => parseCommand(make() as unknown as Parsed, [long, "http://a", long, "http://b"]),
        (error) =>
          error instanceof UsageError &&
            [
              `${long} is given twice, as http://a and as http://b`,
              "--out is required",
            ].includes(error.message) ||
          /^argument \w+ is required$/.test((error as Error).message),
        `${name} ${long}`,
      );
      found++;
    }
  }
  assert.ok(found >= 10, `${found} options`);
  const bench = (line: string) => parseBench(line.split(" "))!.suite;
  assert.throws(() => bench("--profile smoke --profile paper"), {
    message: "--profile is given twice, as smoke and as paper",
  });
  assert.throws(() => bench("--keep-warm --no-keep-warm"), {
    message: "--keep-warm and --no-keep-warm exclude each other",
  });
  assert.equal(bench("--profile paper --force --profile paper --force").profile, "paper");
  const { settings } = bench("retrieval --depth 10 --depth 50,90 --margin 8 --margin 12");
  assert.deepEqual(settings!.retrieval, { depths: [10, 50, 90], margins: [8, 12] });
  assert.deepEqual(bench("latency retrieval latency").suites, ["latency", "retrieval"]);
});

Deno.test("an empty value is refused in one line that says what is empty", () => {
  const cases: [(args: string[]) => unknown, string[], string][] = [
    [parseBench, ["--profile", ""], '--profile "" is not one of smoke, standard, paper, rivals'],
    [parseBench, ["latency", ""], "argument suite is empty"],
    [
      parseBench,
      ["--shard", ""],
      'shard "" is not like 2/8, with 1 to 1000 shards and the first one 1',
    ],
    [
      (args) => parseCommand(COMMANDS.gate() as unknown as Parsed, args),
      ["--against", ""],
      "--against is empty: it takes <revision>",
    ],
    [
      (args) => parseCommand(COMMANDS.train() as unknown as Parsed, args),
      [""],
      "argument experiment is empty",
    ],
    [
      (args) => parseCommand(COMMANDS.report() as unknown as Parsed, args),
      ["a", ""],
      "argument result is empty",
    ],
  ];
  for (const [parse, args, message] of cases) {
    assert.throws(() => parse(args), (error) => {
      assert.ok(error instanceof UsageError);
      assert.equal(error.message.replace(/\.$/, ""), message);
      return true;
    });
  }
});

Deno.test("shownLine: what a person typed stays whole, on one line, and controls no terminal", () => {
  const typed = "x\n\u001b[31my";
  assert.equal(
    shownLine(new UsageError(`read ${typed}: no such file`)),
    "read x [31my: no such file",
  );
  assert.equal(shownLine(new Error("first\nsecond")), "first");
  assert.throws(() => parseBench(["latency", "--peer", typed]), (error) => {
    assert.match(shownLine(error), /^--peer: peer x +\[31my is not one of torch-cudnn, /);
    return true;
  });
});

Deno.test("driver takes no arguments: one that asks not to install installs nothing", async () => {
  const ensure = () => Promise.reject(new Error("it installs"));
  await assert.rejects(installDriverCommand(["--no-install"], ensure), {
    name: "UsageError",
    message: "driver takes no arguments, not --no-install",
  });
});

Deno.test("suggestName: the nearest name, and none where no name is near", () => {
  const cases: [string, string | undefined][] = [
    ["--profile papr is not one of smoke, standard, paper, rivals", "paper"],
    ['--scorer: "nrom" is not one of norm, dilated, gla', "norm"],
    ["peer torch-fa is not one of torch-cudnn, torch-fa2, python:FILE", "torch-fa2"],
    ["suite x is not one of correctness, latency", undefined],
    ["--stack metal is not one of auto, deno, dawn", undefined],
    ["head dimension 33 is not one of 32, 64, 96, 128", undefined],
    ["unknown option '--x'", undefined],
  ];
  for (const [line, meant] of cases) {
    assert.equal(suggestName(line), meant ? `${line} (Did you mean ${meant}?)` : line);
  }
});
