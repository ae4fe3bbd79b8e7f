import assert from "node:assert/strict";
import { DriverError, type DriverSystem, ensureDriver, installCommand } from "./install_driver.ts";

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n';

/** A machine with given answers, and the programs that were run on it. */
function machine(parts: Partial<DriverSystem> & { installs?: boolean } = {}) {
  const ran: string[] = [];
  let installed = false;
  const system: DriverSystem = {
    os: "linux",
    uid: 0,
    osRelease: DEBIAN,
    driverVariable: null,
    hasSoftwareDriver: () => Promise.resolve(false),
    findsAdapter: () => Promise.resolve(installed),
    run: (program, args) => {
      ran.push([program, ...args].join(" "));
      if (args[0] === "install") installed = parts.installs ?? true;
      return Promise.resolve(null);
    },
    ...parts,
  };
  return { system, ran };
}

const complains = (words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof DriverError);
  assert.equal(error.exitCode, 5);
  assert.ok(!error.message.includes("\n"));
  assert.match(error.message, words);
  return true;
};

Deno.test("ensureDriver updates the lists, installs as root on Debian, and reports it in one line", async () => {
  const { system, ran } = machine();
  const said: string[] = [];
  assert.equal(await ensureDriver({ system, say: (line) => said.push(line) }), true);
  assert.equal(ran[0], "apt-get update -qq");
  assert.match(ran[1], /^apt-get install .* mesa-vulkan-drivers libvulkan1$/);
  assert.equal(said.length, 1);
  assert.match(said[0], /installing the software driver: apt-get install/);
});

Deno.test("ensureDriver does nothing on a machine with a driver, a GPU or another system", async () => {
  const always = () => Promise.resolve(true);
  for (const parts of [{ hasSoftwareDriver: always }, { findsAdapter: always }, { os: "darwin" }]) {
    const { system, ran } = machine(parts);
    assert.equal(await ensureDriver({ system }), false);
    assert.deepEqual(ran, []);
  }
});

Deno.test("ensureDriver names the command if it may not install", async () => {
  const command = /with: sudo apt-get install -y mesa-vulkan-drivers libvulkan1$/;
  const user = machine({ uid: 1000 });
  await assert.rejects(ensureDriver({ system: user.system }), complains(command));
  const root = machine();
  const refused = ensureDriver({ system: root.system, install: false });
  await assert.rejects(refused, complains(/with: apt-get install -y mesa-vulkan-drivers/));
  const fedora = machine({ osRelease: "ID=fedora\n" });
  await assert.rejects(ensureDriver({ system: fedora.system }), complains(/with: dnf install/));
  const other = machine({ osRelease: "" });
  await assert.rejects(
    ensureDriver({ system: other.system }),
    complains(/install a Vulkan driver/),
  );
  assert.deepEqual([...user.ran, ...root.ran, ...fedora.ran, ...other.ran], []);
});

Deno.test("ensureDriver reports the package manager's error", async () => {
  const { system } = machine({ run: () => Promise.resolve("E: Unable to locate package") });
  await assert.rejects(ensureDriver({ system }), complains(/failed: E: Unable to locate package/));
  const useless = machine({ installs: false });
  await assert.rejects(
    ensureDriver({ system: useless.system }),
    complains(/even after installing/),
  );
});

Deno.test("ensureDriver does not override drivers that the environment selects", async () => {
  const { system, ran } = machine({ driverVariable: "VK_DRIVER_FILES" });
  await assert.rejects(ensureDriver({ system }), complains(/VK_DRIVER_FILES names; unset it/));
  assert.deepEqual(ran, []);
});

Deno.test("installCommand recognises distributions by ID_LIKE", () => {
  assert.match(installCommand("ID=ubuntu\nID_LIKE=debian\n", 0)!, /^apt-get/);
  assert.match(installCommand('ID="rocky"\nID_LIKE="rhel centos fedora"\n', 1)!, /^sudo dnf/);
  assert.match(installCommand("ID=arch\n", 1)!, /^sudo pacman/);
  assert.equal(installCommand("ID=plan9\n", 1), undefined);
});
