import assert from "node:assert/strict";

/**
 * Sends signals, each after some milliseconds, to a process that takes `tidy` ms to end in order.
 */
async function stop(signals: readonly [Deno.Signal, number][], tidy: number) {
  const module = new URL("./stop.ts", import.meta.url).href;
  const code = `
    const { untilStopped } = await import(${JSON.stringify(module)});
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    await untilStopped(async (signal) => {
      console.log("ready");
      while (!signal.aborted) await sleep(5);
      await sleep(${tidy});
      console.log("kept");
    }, { say: () => console.log("stopping") });`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", code],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let said = "";
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!said.includes("ready")) said += (await reader.read()).value ?? "";
  for (const [name, wait] of signals) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    child.kill(name);
  }
  for (let part = await reader.read(); !part.done; part = await reader.read()) said += part.value;
  await child.stderr.cancel();
  return { said: said.trim().split("\n"), code: (await child.status).code };
}

const KEPT = { said: ["ready", "stopping", "kept"], code: 0 };

Deno.test({
  name: "untilStopped: one Ctrl-C that arrives twice is one, a later one ends the process at once",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    assert.deepEqual(await stop([["SIGINT", 0], ["SIGINT", 30]], 300), KEPT);
    assert.deepEqual(await stop([["SIGINT", 0], ["SIGINT", 800]], 60_000), {
      said: ["ready", "stopping"],
      code: 3,
    });
  },
});

Deno.test({
  name: "untilStopped: what a batch system sends, it may send again",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const again: [Deno.Signal, number][] = [["SIGTERM", 0], ["SIGTERM", 700], ["SIGHUP", 10]];
    assert.deepEqual(await stop(again, 1200), KEPT);
  },
});
