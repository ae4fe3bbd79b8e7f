import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { createTensor } from "../../kernels/gpu/buffers.ts";
import { inspectTensor } from "../../kernels/gpu/inspect.ts";
import { inputShapes } from "../../kernels/key_heads.ts";
import { fillSeeded, seededRows } from "../../kernels/gpu/random.ts";
import type { Direction } from "../../kernels/implementation.ts";
import { checkOutputs, failureOf } from "../check/check.ts";
import { UsageError } from "../errors.ts";
import { UnavailableError } from "../plan/measurable.ts";
import { openPeers } from "./peers.ts";
import { PythonPeer } from "./python_peer.ts";
import { PeerError, PythonProcess } from "./python_process.ts";

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const HELPER = here("peer_helper.py");
const MODULE = here("_fake_peer.py");

const python = await new Deno.Command("python3", { args: ["--version"], stdout: "null" }).output()
  .then(({ success }) => success, () => false);

/** A test of a Python process; skipped, with a line, if there is none. */
function pythonTest(name: string, test: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test(name, async (t) => {
    if (!python) return console.warn(`skipped: ${name}: there is no python3`);
    await test(t);
  });
}

/** The fake module under another name, which selects one of its faults. */
async function withFault(fault: string, use: (file: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/fault_${fault}.py`;
    await Deno.copyFile(MODULE, file);
    await use(file);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const dtype of ["f16", "f32"] as const) {
  pythonTest(`PythonPeer: a peer's inputs are our bits, ${dtype}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const peer = new PythonPeer({ args: [HELPER, MODULE] });
    try {
      const implementation = peer.register(await peer.hello());
      const shape = { heads: 2, context: 9, headDim: 32, dtype };
      // A seed at the top of the range: K, V and dO do not wrap around in either language.
      const seed = 2 ** 32 - 4;
      const tensor = await createTensor(gpu, { heads: 2, rows: 9, dim: 32, dtype });
      await fillSeeded(gpu, tensor, seed + 1);
      const inputs = { q: tensor, k: tensor, v: tensor };
      const layer = await implementation.prepare(gpu, { shape }, { inputs, seed });
      const { k } = layer.peer!.inputs!;
      assert.equal((await k!.inspect()).digest, (await inspectTensor(gpu, tensor)).digest);
      const rows = await k!.readRows({ head: 1, first: 3, count: 4 });
      const want = seededRows(seed + 1, {
        head: 1,
        heads: 2,
        first: 3,
        count: 4,
        dim: 32,
        dtype,
      });
      assert.deepEqual([...rows], [...want]);
      await layer.destroy();
      tensor.destroy();
    } finally {
      await peer.close();
      gpu.destroy();
    }
  });
}

pythonTest(
  "PythonPeer passes the checks that ours pass, and fails on one wrong element",
  async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const shape = { heads: 2, kvHeads: 1, context: 40, headDim: 32, dtype: "f32" as const };
    const labels = ["q", "k", "v", "outputGradient"] as const;
    const tensors = await Promise.all(labels.map(async (label, i) => {
      const tensor = await createTensor(gpu, inputShapes(shape)[label]);
      await fillSeeded(gpu, tensor, 5 + i);
      return tensor;
    }));
    const [q, k, v, outputGradient] = tensors;
    const inputs = { q, k, v, outputGradient };
    const verdict = async (module: string, direction: Direction, extent: "whole" | "sampled") => {
      const peer = new PythonPeer({ args: [HELPER, module] });
      try {
        const problem = { shape, direction };
        const implementation = peer.register(await peer.hello());
        const layer = await implementation.prepare(gpu, problem, { inputs, seed: 5 });
        const timing = await layer.execute();
        assert.ok(timing.wallSeconds > 0 && timing.gpuSeconds === null);
        const { check } = await checkOutputs(gpu, layer, {
          problem,
          implementation,
          inputs,
          seed: 5,
          extent,
        });
        await layer.destroy();
        return check;
      } finally {
        await peer.close();
      }
    };
    for (const direction of ["forward", "backward", "forward-backward"] as const) {
      for (const extent of ["whole", "sampled"] as const) {
        const check = await verdict(MODULE, direction, extent);
        assert.equal(failureOf(check), undefined);
        const names = check.parts!.map(({ name }) => name);
        assert.ok(names.includes("peer's inputs"));
        assert.equal(names.includes("gradient of keys"), direction !== "forward");
      }
    }
    await withFault("wrong", async (file) => {
      const check = await verdict(file, "forward", "whole");
      assert.match(failureOf(check)!, /check of output failed.*head 1, row 5/);
    });
    tensors.forEach((tensor) => tensor.destroy());
    gpu.destroy();
  },
);

pythonTest(
  "PythonPeer: an unavailable peer gives its reason, and a dying one its last output",
  async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const shape = { heads: 1, context: 4, headDim: 32, dtype: "f32" as const };
    const prepare = async (file: string) => {
      const peer = new PythonPeer({ args: [HELPER, file] });
      try {
        const implementation = peer.register(await peer.hello());
        const tensor = await createTensor(gpu, { heads: 1, rows: 4, dim: 32, dtype: "f32" });
        const inputs = { q: tensor, k: tensor, v: tensor };
        try {
          await implementation.prepare(gpu, { shape }, { inputs, seed: 1 });
        } finally {
          tensor.destroy();
        }
      } finally {
        await peer.close();
      }
    };
    const unavailable = (message: RegExp) => (error: unknown) =>
      error instanceof UnavailableError && message.test(error.message);
    await withFault(
      "import",
      (file) => assert.rejects(prepare(file), unavailable(/^nothing to run on$/)),
    );
    await withFault(
      "refusal",
      (file) => assert.rejects(prepare(file), unavailable(/^d = 32 is not for it$/)),
    );
    await withFault(
      "death",
      (file) =>
        assert.rejects(
          prepare(file),
          (error: unknown) =>
            error instanceof PeerError && /exit code 3: the last words$/.test(error.message),
        ),
    );
    gpu.destroy();
  },
);

pythonTest("peer_helper.py survives a Ctrl-C, which a terminal also sends to it", async (t) => {
  if (Deno.build.os === "windows") return console.warn(`skipped: ${t.name}: needs signals`);
  const child = new Deno.Command("python3", {
    args: ["-u", HELPER, MODULE],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const input = child.stdin.getWriter();
  const replies = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const hello = async () => {
    await input.write(new TextEncoder().encode('{"op": "hello"}\n'));
    return JSON.parse((await replies.read()).value ?? "{}").name;
  };
  assert.equal(await hello(), "fake");
  child.kill("SIGINT");
  assert.equal(await hello(), "fake");
  await input.close();
  assert.equal((await child.status).code, 0);
  await replies.cancel();
});

/** Replaces PyTorch where the forced backend does not support a layer, with its warnings. */
const REFUSING_TORCH = `
import sys, types, warnings
def attend(*_, **__):
    for text in ("Memory efficient kernel not used because:", "cuDNN attention kernel not used because:",
                 "Flash attention has been runtime disabled.", "Expected query to be Half, got Float"):
        warnings.warn(text + " (Triggered internally at sdp_utils.cpp:1.)")
    raise RuntimeError("No available kernel. Aborting execution.")
class Nothing:
    CUDNN_ATTENTION = FLASH_ATTENTION = None
    def __init__(self, *_): pass
    def __enter__(self): pass
    def __exit__(self, *_): pass
    def unsqueeze(self, _): return self
    def requires_grad_(self, _): return self
torch = types.ModuleType("torch")
torch.set_grad_enabled = Nothing
torch.nn = types.ModuleType("torch.nn")
torch.nn.functional = types.ModuleType("torch.nn.functional")
torch.nn.functional.scaled_dot_product_attention = attend
torch.nn.attention = types.ModuleType("torch.nn.attention")
torch.nn.attention.SDPBackend = torch.nn.attention.sdpa_kernel = Nothing
for module in (torch, torch.nn, torch.nn.functional, torch.nn.attention):
    sys.modules[module.__name__] = module
import importlib.util
spec = importlib.util.spec_from_file_location("torch_sdpa", sys.argv[1])
sdpa = importlib.util.module_from_spec(spec)
sdpa.Unsupported = type("Unsupported", (Exception,), {})
spec.loader.exec_module(sdpa)
sdpa.configure("torch-cudnn")
shape = types.SimpleNamespace(direction="forward", heads=1, kv_heads=1, tensor=lambda _: Nothing())
try:
    sdpa.prepare(shape)
except sdpa.Unsupported as error:
    print(error)
`;

pythonTest(
  "torch_sdpa.py reports why a backend refuses, without those that are disabled",
  async () => {
    const { stdout } = await new Deno.Command("python3", {
      args: ["-c", REFUSING_TORCH, here("torch_sdpa.py")],
    }).output();
    assert.equal(
      new TextDecoder().decode(stdout).trim(),
      "torch-cudnn refuses this layer: Expected query to be Half, got Float",
    );
  },
);

Deno.test("PythonProcess: a missing program, and one that does not answer", async () => {
  assert.throws(
    () => PythonProcess.start({ args: [], program: "no-such-python" }),
    /there is no no-such-python/,
  );
  if (!python) return;
  const folder = await Deno.makeTempDir();
  const sleeper = `${folder}/sleeper.py`;
  await Deno.writeTextFile(sleeper, "import time\ntime.sleep(60)\n");
  const process = PythonProcess.start({ args: [sleeper] });
  try {
    await assert.rejects(
      process.request({ op: "hello" }, { seconds: 0.2 }),
      /hello took longer than 0\.2 s/,
    );
    assert.match(process.ended!, /longer/);
    await assert.rejects(process.request({ op: "hello" }, { seconds: 0.2 }), /longer/);
  } finally {
    await process.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("openPeers: a missing interpreter and a missing file give rows with a reason", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const missing = await openPeers(["torch-fa2"], { gpu, python: "no-such-python" });
    assert.equal(missing.records[0].unavailable, "there is no no-such-python");
    const problem = { shape: { heads: 1, context: 64, headDim: 64, dtype: "f32" as const } };
    const [implementation] = missing.implementations;
    assert.equal(implementation.name, "peer:torch-fa2");
    assert.throws(() => implementation.plan(gpu, problem), /there is no no-such-python/);
    await missing.close();
    if (!python) return;
    const nowhere = await openPeers(["python:/nowhere/mine.py"], { gpu });
    assert.equal(nowhere.records[0].implementation, "peer:mine");
    assert.match(nowhere.records[0].unavailable!, /FileNotFoundError/);
    await nowhere.close();
  } finally {
    gpu.destroy();
  }
});

pythonTest("openPeers refuses a module with a mistake of its own, in one line", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (
      const [code, said] of [
        ["name = 'x'\ndef prepare(shape:\n", /^peer python:\S+bad\.py: line 2: SyntaxError: /],
        ["name = 'x'\n\n1 / 0\n", /^peer python:\S+bad\.py: line 3: ZeroDivisionError: /],
        ["x = 1\n", /^peer python:\S+bad\.py: ValueError: .* has no name or no prepare/],
      ] as const
    ) {
      await Deno.writeTextFile(`${folder}/bad.py`, code);
      await assert.rejects(
        openPeers([`python:${folder}/bad.py`], { gpu: {} as never }),
        (error) => error instanceof UsageError && said.test(error.message),
      );
    }
    // A package that this machine lacks is no mistake of the module's: its cases are skipped.
    await Deno.writeTextFile(`${folder}/lacks.py`, "import no_such_package_here\n");
    const { records, close } = await openPeers([`python:${folder}/lacks.py`], { gpu: {} as never });
    assert.match(records[0].unavailable!, /no_such_package_here/);
    await close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
