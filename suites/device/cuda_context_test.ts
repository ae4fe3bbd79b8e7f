import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const FOLDER = new URL(".", import.meta.url);

/** Input of a process that holds a context, and its output. */
interface Scenario {
  /** CUDA's cards in its own order, `name@bus`. */
  readonly cards?: string;
  /** Further variables of the stand-in. */
  readonly variables?: Record<string, string>;
  readonly adapter?: { description: string; device: string };
  readonly busId?: string;
  /** False: Deno may not load the library. */
  readonly allowed?: boolean;
  readonly seconds?: number;
}

/** Compiles the stand-in and holds contexts in processes that may load only it. */
async function withStandIn(
  t: Deno.TestContext,
  use: (hold: (scenario: Scenario) => Promise<{ said: string; log: string }>) => Promise<void>,
) {
  const folder = await Deno.makeTempDir();
  try {
    const library = `${folder}/libcuda.so.1`;
    const source = fileURLToPath(new URL("_cuda_stand_in.c", FOLDER));
    const args = ["-shared", "-fPIC", "-o", library, source];
    const built = await new Deno.Command("gcc", { args }).output().catch(() => undefined);
    if (!built?.success) return console.warn(`skipped: ${t.name}: needs gcc`);
    const program = `${folder}/hold.ts`;
    await Deno.writeTextFile(
      program,
      `import { holdCudaContext } from ${JSON.stringify(new URL("cuda_context.ts", FOLDER).href)};
      const options = JSON.parse(Deno.args[0]);
      try {
        const context = await holdCudaContext(options);
        console.log("holding " + context.card);
        await context.release();
      } catch (error) {
        console.log(error.message);
      }
      Deno.exit(0);`,
    );
    await use(async (scenario) => {
      const { allowed = true, variables, cards = "NVIDIA H200@0000:17:00.0" } = scenario;
      const log = await Deno.makeTempFile({ dir: folder });
      const { adapter = { description: "NVIDIA H200", device: "" }, busId, seconds } = scenario;
      const options = { adapter, busId, seconds, libraries: [`${folder}/no.so`, library] };
      const permissions = ["--allow-read", ...(allowed ? [`--allow-ffi=${library}`] : [])];
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--quiet",
          "--no-prompt",
          `--config=${fileURLToPath(new URL("../../deno.json", FOLDER))}`,
          ...permissions,
          program,
          JSON.stringify(options),
        ],
        env: { STAND_IN_CARDS: cards, STAND_IN_LOG: log, NO_COLOR: "1", ...variables },
      }).output();
      const decoder = new TextDecoder();
      assert.equal(decoder.decode(stderr), "");
      return {
        said: decoder.decode(stdout).trim().replaceAll(folder, "FOLDER"),
        log: (await Deno.readTextFile(log)).trim().replaceAll("\n", ", "),
      };
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("holdCudaContext holds one on the adapter's card and releases it", async (t) => {
  const four = "Other@0000:01:00.0;NVIDIA H200@0000:9B:00.0;NVIDIA H200@0000:17:00.0";
  await withStandIn(t, async (hold) => {
    const scenarios: [Scenario, string][] = [
      // Of equal cards the first on the bus, which Vulkan takes, at any position in CUDA's order.
      [{ cards: four }, "retain 2, release 2"],
      [{ cards: four, busId: "00000000:9b:00.0" }, "retain 1, release 1"],
      [
        { cards: four, adapter: { description: "NVIDIA: 580.1", device: "nvidia-h200" } },
        "retain 2, release 2",
      ],
      // With one card there is no ambiguity, whatever a stack calls it.
      [{ adapter: { description: "GPU", device: "" } }, "retain 0, release 0"],
    ];
    for (const [scenario, expected] of scenarios) {
      const { said, log } = await hold(scenario);
      assert.equal(said, "holding NVIDIA H200");
      assert.equal(log, expected);
    }
  });
});

Deno.test("holdCudaContext reports in one line why there is none", async (t) => {
  await withStandIn(t, async (hold) => {
    const scenarios: [Scenario, string][] = [
      [{ allowed: false }, "Deno may not load FOLDER/libcuda.so.1"],
      [{ cards: "" }, "CUDA shows no card; CUDA_VISIBLE_DEVICES may hide it"],
      [
        { busId: "00000000:01:00.0" },
        "CUDA does not show the card at 00000000:01:00.0; CUDA_VISIBLE_DEVICES may hide it",
      ],
      [
        { cards: "Tesla T4@0000:01:00.0;Quadro@0000:02:00.0" },
        "no CUDA card has the adapter's name; there are Tesla T4, Quadro",
      ],
      ...["cuInit", "cuDeviceGetCount", "cuDeviceGetName", "cuDevicePrimaryCtxRetain"].map(
        (name): [Scenario, string] => [
          { variables: { STAND_IN_ERROR: name } },
          `${name} gave error 999`,
        ],
      ),
      [
        { variables: { STAND_IN_SLEEP: "30" }, seconds: 0.3 },
        "the CUDA driver took more than 0.3 s",
      ],
    ];
    for (const [scenario, expected] of scenarios) {
      const started = performance.now();
      assert.equal((await hold(scenario)).said, expected);
      assert.ok(performance.now() - started < 20_000, "a hanging driver must not block");
    }
  });
});
