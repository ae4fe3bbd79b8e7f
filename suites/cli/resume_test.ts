import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { sampleResult } from "../result/_sample_result.ts";
import { describeBench, readBench } from "./bench.ts";
import { joinOptions } from "./resume.ts";

/** What goes on when a run that was started with one line is taken up with another. */
function join(then: string, now: string) {
  const words = (line: string) => line.split(" ").filter(Boolean);
  const result = {
    ...sampleResult({ contexts: [8192] }),
    profile: "smoke",
    seed: 1010,
    configuration: { dtype: "f32" },
  };
  const command = readBench(words(then))!;
  joinOptions(command, { now: readBench(words(now))!, result, folder: "out" });
  return describeBench(command, []).suite;
}

const refuses = (then: string, now: string, message: string) =>
  assert.throws(() => join(then, now), (error) => {
    assert.ok(error instanceof UsageError);
    assert.equal(error.message, `resume out: ${message}`);
    return true;
  });

Deno.test("joinOptions: --resume alone has all options of the first run, and what it chose by itself", () => {
  const then = "latency --context 512,1K --k 128 --shard 2/3 --samples 4 --budget 9 --keep-warm";
  const suite = join(then, "--resume");
  assert.deepEqual(suite.suites, ["latency"]);
  assert.deepEqual([suite.contexts, suite.options, suite.samples], [[512, 1024], { k: [128] }, 4]);
  assert.deepEqual([suite.shard, suite.budgetSeconds, suite.keepWarm], [
    { index: 2, count: 3 },
    9,
    true,
  ]);
  // The sample's result ran on Deno's stack in f32, with the default seed.
  assert.deepEqual([suite.profile, suite.stack, suite.seed, suite.dtype], [
    "smoke",
    "deno",
    1010,
    "f32",
  ]);
});

Deno.test("joinOptions takes the same options again, and others that only say how to go on", () => {
  const then = "latency --context 512,1024 --budget 9";
  const now =
    "latency --resume --out x --context 1K,512 --seed 1010 --stack auto --profile smoke " +
    "--dtype auto --budget 60 --no-keep-warm --quiet --force --no-install";
  const suite = join(then, now);
  assert.deepEqual([suite.contexts, suite.budgetSeconds], [[512, 1024], 60]);
  assert.equal(suite.keepWarm, false);
});

Deno.test("joinOptions refuses each contradiction in one line that names both sides", () => {
  const more = "; leave it out, or start another run in another folder";
  const line = "--context 512 --shard 1/2";
  refuses(line, "--context 4K", `--context 4096 was given, the run has --context 512${more}`);
  refuses(line, "--shard 2/2", `--shard 2/2 was given, the run has --shard 1/2${more}`);
  refuses(line, "--seed 7", `--seed 7 was given, the run has --seed 1010${more}`);
  refuses(line, "--stack dawn", `--stack dawn was given, the run has --stack deno${more}`);
  refuses(line, "--dtype f16", `--dtype f16 was given, the run has --dtype f32${more}`);
  refuses(line, "--k 128", `--k 128 was given, the run was started without --k${more}`);
  refuses(line, "latency", `suites latency was given, the run was started without suites${more}`);
  refuses(
    "latency",
    "throughput",
    `suites throughput was given, the run has suites latency${more}`,
  );
  refuses(
    line,
    "--peer ort-web",
    `--peer ort-web was given, the run was started without --peer${more}`,
  );
  refuses(
    "--peer torch-fa2",
    "--peer torch-cudnn",
    `--peer torch-cudnn was given, the run has --peer torch-fa2${more}`,
  );
  refuses(
    line,
    "--checkpoint m.json",
    `--checkpoint m.json was given, the run was started without --checkpoint${more}`,
  );
});

Deno.test("joinOptions opens no file because a result names it", () => {
  const again = "; name it again: a result alone may not make the bench open a file";
  refuses(
    "--peer torch-fa2 --peer python:mine.py",
    "--resume",
    `the run has --peer python:mine.py${again}`,
  );
  refuses("--checkpoint m.json", "--resume", `the run has --checkpoint m.json${again}`);
  // Named again, also from another folder, it is what is named now.
  const then = "--peer torch-fa2 --peer python:mine.py --checkpoint m.json";
  const now = "--peer python:../mine.py --peer torch-fa2 --checkpoint ../m.json";
  const suite = join(then, now);
  assert.deepEqual(suite.peers, ["python:../mine.py", "torch-fa2"]);
  assert.equal(suite.settings?.retrieval.checkpoint, "../m.json");
  assert.deepEqual(join("--peer torch-fa2", "--resume").peers, ["torch-fa2"]);
});
