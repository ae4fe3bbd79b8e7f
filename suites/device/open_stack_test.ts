import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { DeviceError } from "../../kernels/gpu/device.ts";
import { openStack } from "./open_stack.ts";

const noDawn = () => Promise.reject(new Error("no such library"));

/** Deno's own adapter under another name, so that it counts as a GPU. */
async function disguised(): Promise<GPU> {
  const adapter = (await navigator.gpu.requestAdapter())!;
  const info = { vendor: "4318", architecture: "", device: "9013", description: "NVIDIA H200" };
  const stranger = new Proxy(adapter, {
    get: (target, name) => {
      if (name === "info") return info;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { requestAdapter: () => Promise.resolve(stranger) } as unknown as GPU;
}

Deno.test("openStack: by default it reports which stack and why, in a line and in the record", async (t) => {
  const own = await testGpu(t);
  if (!own) return;
  own.destroy();
  const { gpu, choice, line } = await openStack({ gpu: await disguised(), dawn: noDawn });
  gpu.destroy();
  assert.equal(gpu.stack, "deno");
  assert.deepEqual(choice, { asked: "auto", reason: "Dawn: no such library" });
  assert.equal(line, "stack deno: Dawn: no such library");
});

Deno.test("openStack: a requested stack is used or fails, without a line", async (t) => {
  const own = await testGpu(t);
  if (!own) return;
  own.destroy();
  const { gpu, choice, line } = await openStack({ stack: "deno", dawn: noDawn });
  gpu.destroy();
  assert.equal(gpu.stack, "deno");
  assert.deepEqual([choice, line], [{ asked: "deno", reason: "asked for" }, undefined]);
  try {
    const dawn = await openStack({ stack: "dawn" });
    dawn.gpu.destroy();
    assert.equal(dawn.gpu.stack, "dawn");
  } catch (error) {
    assert.ok(error instanceof DeviceError && /dawn/i.test(error.message));
  }
});

Deno.test("openStack reports what it waits for when Dawn loads slowly", async (t) => {
  const own = await testGpu(t);
  if (!own) return;
  own.destroy();
  for (const [milliseconds, expected] of [[0, 0], [2100, 1]]) {
    const said: string[] = [];
    const dawn = async () => {
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      return await noDawn();
    };
    const { gpu } = await openStack({
      gpu: await disguised(),
      dawn,
      say: (line) => said.push(line),
    });
    gpu.destroy();
    assert.equal(said.length, expected, said.join());
  }
});

Deno.test("openStack: a GPU that only the driver's tool shows is named in the line", async (t) => {
  const own = await testGpu(t);
  if (!own) return;
  own.destroy();
  if (!own.adapter.software) return console.warn(`skipped: ${t.name}: needs a software adapter`);
  for (
    const [cards, expected] of [
      [[], /is a software adapter$/],
      [[{ name: "NVIDIA H200" }], /is a software adapter; NVIDIA H200 is here but Vulkan does not/],
    ] as const
  ) {
    const { gpu, choice, line } = await openStack({ cards: () => Promise.resolve(cards) });
    gpu.destroy();
    assert.match(line!, expected);
    assert.match(choice.reason, /is a software adapter$/);
  }
});
