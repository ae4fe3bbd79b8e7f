import assert from "node:assert/strict";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  describeRepository,
  fingerprintOf,
  type FingerprintParts,
  hashKernels,
  nvidiaDevice,
  packageVersions,
  parseCommit,
  publicAddress,
  shaderCode,
  vulkanDriver,
} from "./environment.ts";
import { hashJson, sha256 } from "../result/digest.ts";

const machine: FingerprintParts = {
  adapter: {
    vendor: "4318",
    architecture: "",
    device: "8965",
    description: "GPU",
    isFallbackAdapter: false,
    software: false,
  },
  driver: "NVIDIA 1",
  cpu: "cpu",
  cores: 2,
  runtime: { deno: "2", v8: "1", typescript: "6" },
  packages: { zod: "4", webgpu: "0.6" },
};

Deno.test("sha256 and hashJson: known digest, and the order of keys does not matter", async () => {
  assert.equal(
    await sha256("abc"),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
  assert.equal(
    await hashJson({ a: 1, b: { c: 2, d: 3 } }),
    await hashJson({ b: { d: 3, c: 2 }, a: 1 }),
  );
  assert.notEqual(await hashJson([1, 2]), await hashJson([2, 1]));
});

Deno.test("fingerprintOf changes with the driver, not with the processor of a GPU", async () => {
  const base = await fingerprintOf(machine, "deno");
  assert.equal(await fingerprintOf({ ...machine, cpu: "other", cores: 64 }, "deno"), base);
  assert.notEqual(await fingerprintOf({ ...machine, driver: "NVIDIA 2" }, "deno"), base);
  assert.notEqual(await fingerprintOf(machine, "dawn"), base);
  const software = { ...machine, adapter: { ...machine.adapter, software: true } };
  assert.notEqual(
    await fingerprintOf(software, "deno"),
    await fingerprintOf({ ...software, cpu: "other" }, "deno"),
  );
});

Deno.test("nvidiaDevice: the card's name under every stack, its ids if no other card is equal", () => {
  const card = (name: string, at: number) => ({
    name,
    uuid: `GPU-${at}`,
    busId: `0000000${at}:17:00.0`,
    memoryBytes: at * 2 ** 30,
    driver: "580.1",
  });
  const { adapter } = machine;
  const dawn = { ...adapter, device: "nvidia-h200", description: "NVIDIA: 580.1" };
  const deno = { ...adapter, description: "NVIDIA H200" };
  const cards = [card("NVIDIA A2", 1), card("NVIDIA H200", 2)];
  for (const own of [dawn, deno]) {
    const found = nvidiaDevice(own, cards);
    const { name, uuid, busId } = cards[1];
    assert.deepEqual(found.device, { name, uuid, busId });
    assert.deepEqual([found.driver, found.deviceMemoryBytes], ["NVIDIA 580.1", 2 * 2 ** 30]);
    const equal = nvidiaDevice(own, [...cards, card("NVIDIA H200", 3)]);
    assert.deepEqual(equal.device, { name });
  }
  assert.deepEqual(nvidiaDevice({ ...deno, description: "else" }, cards).device, { name: "else" });
});

Deno.test("hashKernels and packageVersions read this project's files", async () => {
  assert.match((await hashKernels())!, /^[0-9a-f]{64}$/);
  assert.ok("@commander-js/extra-typings" in packageVersions());
});

Deno.test("vulkanDriver finds the device by its name", () => {
  const summary = `Devices:
========
GPU0:
	deviceName         = Some GPU
	driverName         = radv
	driverInfo         = Mesa 23
GPU1:
	deviceName         = llvmpipe (LLVM 15.0.6, 256 bits)
	driverName         = llvmpipe
	driverInfo         = Mesa 22.3.6 (LLVM 15.0.6)
`;
  assert.equal(
    vulkanDriver(summary, "llvmpipe (LLVM 15.0.6, 256 bits)"),
    "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)",
  );
  assert.equal(vulkanDriver(summary, "absent"), null);
});

Deno.test("shaderCode: comments and blank lines do not count, everything else does", () => {
  const code = "fn main() {\n  let a = b / c;\n}";
  const commented = "// head\nfn main() { // why\n\n  /* one /* inner */\n two */\n" +
    "  let a = b / c;\n}\n/* open";
  assert.equal(shaderCode(commented), shaderCode(code));
  assert.notEqual(shaderCode(code.replace("b / c", "b * c")), shaderCode(code));
  assert.equal(shaderCode("a/**/b"), "a b");
});

async function inRepository(test: (folder: string) => Promise<void>) {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    await git(folder, "init", "--quiet");
    await Deno.writeTextFile(`${folder}/file`, "one");
    await git(folder, "add", ".");
    await git(folder, "commit", "--quiet", "-m", "first");
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const ENVIRONMENT = new URL("environment.ts", import.meta.url).href;
const CONFIG = new URL("../../deno.json", import.meta.url);

async function git(cwd: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("git", {
    args: ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args],
    cwd,
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH")! },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("parseCommit refuses everything that is not a commit", () => {
  const commit = "2f3c39aa51d9a695dc41ed09a2162c301691f185";
  for (const good of [commit, commit.slice(0, 7)]) assert.equal(parseCommit(good), good);
  for (
    const bad of ["ref: refs/heads/main", "main", "2f3c39", `${commit}\n`, commit.toUpperCase()]
  ) {
    assert.throws(
      () => parseCommit(bad),
      /^UsageError: read LIGHTHOUSE_COMMIT: [^]* is not a commit/,
    );
  }
});

Deno.test("publicAddress: every form of a remote of GitHub, and none of a person or another host", () => {
  for (
    const remote of [
      "https://github.com/owner/a.name",
      "https://github.com/owner/a.name.git",
      "https://user:secret@github.com/owner/a.name.git/",
      "git@github.com:owner/a.name.git",
      "ssh://git@github.com:22/owner/a.name",
      "git://github.com/owner/a.name.git",
    ]
  ) assert.equal(publicAddress(remote), "https://github.com/owner/a.name", remote);
  for (
    const remote of [
      "",
      "/home/somebody/bench",
      "file:///bench",
      "https://github.com.evil.example/owner/name",
      "https://evil.example/github.com/owner/name",
      "https://github.com/owner",
      "https://github.com/owner/name/more",
      'https://github.com/owner/na"me',
    ]
  ) assert.equal(publicAddress(remote), undefined, remote);
});

Deno.test("describeRepository reports only the project's own repository", () =>
  inRepository(async (folder) => {
    const commit = await git(folder, "rev-parse", "HEAD");
    const found = (path: string) => describeRepository(pathToFileURL(`${path}/`));
    assert.deepEqual(await found(folder), { commit, dirty: false });
    // A copy inside it, whether or not that repository tracks its files.
    await Deno.mkdir(`${folder}/copy`);
    await Deno.copyFile(`${folder}/file`, `${folder}/copy/file`);
    assert.deepEqual(await found(`${folder}/copy`), { commit: null, dirty: null });
    await git(folder, "remote", "add", "origin", "git@github.com:owner/name.git");
    const repository = "https://github.com/owner/name";
    assert.deepEqual(await found(folder), { commit, dirty: false, repository });
    await git(folder, "remote", "remove", "origin");
    await git(folder, "add", ".");
    await git(folder, "commit", "--quiet", "-m", "second");
    assert.deepEqual(await found(`${folder}/copy`), { commit: null, dirty: null });
    await git(folder, "worktree", "add", "--quiet", `${folder}/tree`, commit);
    await Deno.writeTextFile(`${folder}/tree/file`, "two");
    assert.deepEqual(await found(`${folder}/tree`), { commit, dirty: true });
    // A program inside a hook of another repository gets that one's path in its environment.
    const code = `
      import { describeRepository } from ${JSON.stringify(ENVIRONMENT)};
      console.log(JSON.stringify(await describeRepository(new URL(Deno.args[0]))));`;
    const copy = `${pathToFileURL(`${folder}/copy`)}/`;
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--config", fileURLToPath(CONFIG), code, copy],
      env: { GIT_DIR: `${folder}/.git` },
    }).output();
    assert.equal(new TextDecoder().decode(stdout), `{"commit":null,"dirty":null}\n`);
  }));
