import assert from "node:assert/strict";
import { chooseStack } from "./choose_stack.ts";
import { createDawn } from "./dawn.ts";
import { DeviceError } from "./device.ts";
import { testGpu } from "./_test_gpu.ts";

const FLOAT16 = "shader-f16" as GPUFeatureName;
const MATRIX = "chromium-experimental-subgroup-matrix" as GPUFeatureName;
const H200 = { vendor: "4318", architecture: "", device: "9013", description: "NVIDIA H200" };
const ON_DAWN = {
  vendor: "nvidia",
  architecture: "hopper",
  device: "nvidia-h200",
  description: "NVIDIA: 580.1 580.1.4.0",
  subgroupMatrixConfigs: [
    { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 },
  ],
};
const SOFTWARE = {
  vendor: "65541",
  architecture: "",
  device: "0",
  description: "llvmpipe (LLVM 15.0.6, 256 bits)",
};

/** Behaviour of a stack, for its stand-in. */
interface Behaviour {
  /** Null: there is no adapter. */
  readonly info: Partial<GPUAdapterInfo> | null;
  readonly features?: readonly GPUFeatureName[];
  readonly requestAdapter?: () => Promise<GPUAdapter | null>;
  readonly requestDevice?: () => Promise<GPUDevice>;
}

/** A `GPU` object without a real device, and the devices of it that are open. */
function standIn(behaviour: Behaviour) {
  const open = new Set<string>();
  let count = 0;
  const features = new Set(behaviour.features ?? [FLOAT16]);
  const limits = { maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 30 };
  const adapter = {
    info: behaviour.info,
    features,
    limits,
    requestDevice: behaviour.requestDevice ??
      (({ requiredFeatures = [] }: GPUDeviceDescriptor) => {
        const name = `device ${count++}`;
        open.add(name);
        return Promise.resolve({
          features: new Set(requiredFeatures),
          limits,
          lost: new Promise(() => {}),
          destroy: () => open.delete(name),
        });
      }),
  } as unknown as GPUAdapter;
  const gpu = {
    requestAdapter: behaviour.requestAdapter ??
      (() => Promise.resolve(behaviour.info === null ? null : adapter)),
  } as GPU;
  return { gpu, open, adapter };
}

const dawnOf = (gpu: GPU) => () => Promise.resolve(gpu);
const loading = (load: Parameters<typeof createDawn>[0]["load"], seconds = 5) => () =>
  createDawn({ flags: [], load, seconds });

Deno.test("chooseStack takes Dawn on a real GPU, and says whether it has matrix units", async () => {
  for (
    const [features, reason] of [
      [[FLOAT16, MATRIX], "matrix units on NVIDIA H200"],
      [[FLOAT16], "NVIDIA H200, without matrix units"],
    ] as const
  ) {
    const own = standIn({ info: H200 });
    const dawn = standIn({ info: ON_DAWN, features });
    const chosen = await chooseStack({ gpu: own.gpu, dawn: dawnOf(dawn.gpu) });
    assert.equal(chosen.gpu.stack, "dawn");
    assert.equal(chosen.reason, reason);
    assert.equal(own.open.size, 0);
    assert.equal(dawn.open.size, 1);
  }
});

Deno.test("chooseStack does not even load Dawn for a software adapter", async () => {
  const own = standIn({ info: SOFTWARE });
  let loads = 0;
  const dawn = () => {
    loads++;
    return Promise.reject(new Error("no"));
  };
  const { gpu, reason } = await chooseStack({ gpu: own.gpu, dawn });
  assert.equal(gpu.stack, "deno");
  assert.equal(reason, "llvmpipe (LLVM 15.0.6, 256 bits) is a software adapter");
  assert.equal(loads, 0);
});

const failure = (message: string) => () => Promise.reject(new Error(message));
const never = <T>() => () => new Promise<T>(() => {});

/** What may be wrong with Dawn on a machine with a real GPU, and the reason that is reported. */
const FALLBACKS: readonly [string, () => Promise<GPU>, string | RegExp][] = [
  [
    "offline at its first use",
    loading(failure("Failed caching npm package 'webgpu@0.6.2'\n    0: error sending request")),
    "Dawn's add-on could not be loaded (it is not in Deno's cache and could not be downloaded)",
  ],
  [
    "without the permission",
    loading(failure('Requires ffi access to "/home/me/dawn.node", run again with --allow-ffi')),
    "Dawn's add-on could not be loaded (Deno was given no ffi permission for it)",
  ],
  [
    "on a platform that it is not built for",
    loading(failure("Cannot find module '/home/me/dist/linux-riscv64/dawn.node'\nRequire stack:")),
    "Dawn's add-on could not be loaded (Cannot find module 'dawn.node')",
  ],
  [
    "with a C library that is too old",
    loading(failure(
      "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /me/dawn.node)",
    )),
    "Dawn's add-on could not be loaded " +
    "(libc.so.6: version `GLIBC_2.34' not found (required by dawn.node))",
  ],
  [
    "with an add-on that throws",
    loading(() =>
      Promise.resolve({
        create: () => {
          throw "odd";
        },
      })
    ),
    "Dawn's add-on could not be loaded (odd)",
  ],
  [
    "while its download hangs",
    loading(never(), 0.05),
    "Dawn's add-on could not be loaded (loading it took more than 0.05 s)",
  ],
  [
    "without an adapter, as without a Vulkan loader",
    dawnOf(standIn({ info: null }).gpu),
    "the dawn stack found no WebGPU adapter",
  ],
  [
    "with an error instead of an adapter",
    dawnOf(standIn({ info: null, requestAdapter: failure("no Vulkan") }).gpu),
    "Dawn: no Vulkan",
  ],
  [
    "with a software adapter only",
    dawnOf(standIn({ info: SOFTWARE }).gpu),
    "Dawn found only a software adapter (llvmpipe (LLVM 15.0.6, 256 bits))",
  ],
  [
    "with a device that is refused",
    dawnOf(standIn({ info: ON_DAWN, requestDevice: failure("out of memory") }).gpu),
    "Dawn: the adapter refused the device: out of memory",
  ],
  [
    "while its adapter hangs",
    dawnOf(standIn({ info: null, requestAdapter: never() }).gpu),
    "opening a device of Dawn took more than 0.05 s",
  ],
  [
    "while its device hangs",
    dawnOf(standIn({ info: ON_DAWN, requestDevice: never() }).gpu),
    "opening a device of Dawn took more than 0.05 s",
  ],
  [
    "without the half-precision floats that Deno's own stack has",
    dawnOf(standIn({ info: ON_DAWN, features: [MATRIX] }).gpu),
    "Dawn offers no shader-f16 on NVIDIA: 580.1 580.1.4.0",
  ],
];

for (const [when, dawn, expected] of FALLBACKS) {
  Deno.test(`chooseStack falls back to Deno's own stack: Dawn ${when}`, async () => {
    const own = standIn({ info: H200 });
    const { gpu, reason } = await chooseStack({ gpu: own.gpu, dawn, seconds: 0.05 });
    assert.equal(gpu.stack, "deno");
    assert.equal(gpu.adapter.description, "NVIDIA H200");
    assert.equal(reason, expected);
    assert.equal(own.open.size, 1);
  });
}

Deno.test("chooseStack leaves no device of Dawn open that it does not return", async () => {
  const lacking = standIn({ info: ON_DAWN, features: [] });
  await chooseStack({ gpu: standIn({ info: H200 }).gpu, dawn: dawnOf(lacking.gpu) });
  assert.equal(lacking.open.size, 0);
  // A device that arrives too late.
  let answer!: (device: GPUDevice) => void;
  let destroyed = 0;
  const late = standIn({
    info: ON_DAWN,
    requestDevice: () => new Promise((resolve) => answer = resolve),
  });
  const { gpu } = await chooseStack({
    gpu: standIn({ info: H200 }).gpu,
    dawn: dawnOf(late.gpu),
    seconds: 0.05,
  });
  assert.equal(gpu.stack, "deno");
  answer({
    features: new Set(),
    limits: {},
    lost: new Promise(() => {}),
    destroy: () => destroyed++,
  } as unknown as GPUDevice);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(destroyed, 1);
});

Deno.test("chooseStack: a required feature that only Deno's own stack grants decides the choice", async () => {
  const own = standIn({ info: H200 });
  const dawn = standIn({ info: ON_DAWN, features: [] });
  const refusing = {
    ...dawn.adapter,
    features: new Set(),
    requestDevice: failure("not supported"),
  } as unknown as GPUAdapter;
  const options = {
    gpu: own.gpu,
    dawn: dawnOf({ requestAdapter: () => Promise.resolve(refusing) } as unknown as GPU),
  };
  const { gpu, reason } = await chooseStack({ ...options, require: ["shader-f16"] });
  assert.equal(gpu.stack, "deno");
  assert.equal(reason, "Dawn: the adapter does not grant shader-f16");
});

Deno.test("chooseStack: without any adapter the error is that of Deno's own stack", async () => {
  const dawn = dawnOf(standIn({ info: null }).gpu);
  await assert.rejects(
    chooseStack({ gpu: standIn({ info: null }).gpu, dawn }),
    (error: unknown) =>
      error instanceof DeviceError && error.kind === "no-adapter" &&
      /deno stack/.test(error.message),
  );
});

Deno.test("chooseStack takes Dawn where Deno's own stack finds nothing", async () => {
  const dawn = standIn({ info: ON_DAWN, features: [FLOAT16, MATRIX] });
  const { gpu, reason } = await chooseStack({
    gpu: standIn({ info: null }).gpu,
    dawn: dawnOf(dawn.gpu),
  });
  assert.equal(gpu.stack, "dawn");
  assert.equal(reason, "matrix units on NVIDIA: 580.1 580.1.4.0");
});

Deno.test("chooseStack on this machine finds the adapter that openDevice finds", async (t) => {
  const own = await testGpu(t);
  if (!own) return;
  own.destroy();
  const { gpu, reason } = await chooseStack();
  assert.equal(gpu.adapter.software, own.adapter.software, reason);
  if (own.adapter.software) assert.deepEqual(gpu.adapter, own.adapter, reason);
  gpu.destroy();
});

Deno.test("Dawn's package is fetched when it is needed, not when a program starts", async () => {
  const url = new URL("open_device.ts", import.meta.url);
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", url.href],
    env: { NO_COLOR: "1" },
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout));
  const names: string[] = modules.map(({ specifier }: { specifier: string }) => specifier);
  assert.ok(names.some((name) => name.endsWith("/dawn.ts")));
  assert.deepEqual(names.filter((name) => name.startsWith("npm:")), []);
});
