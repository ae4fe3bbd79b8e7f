import assert from "node:assert/strict";
import { guardConsole, standardStream } from "./streams.ts";
import { useColor } from "./color.ts";

/** A sink that does what it is told, once for each write; then it takes all. */
function scripted(...steps: (number | Error)[]) {
  let taken = "";
  const writeSync = (bytes: Uint8Array) => {
    const step = steps.shift() ?? bytes.length;
    if (step instanceof Error) throw step;
    taken += new TextDecoder().decode(bytes.subarray(0, step));
    return step;
  };
  return { writeSync, taken: () => taken, left: () => steps.length };
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

Deno.test("standardStream writes all of a text, though a sink takes it in parts or is slow", () => {
  const sink = scripted(3, new Deno.errors.WouldBlock("x"), new Deno.errors.Interrupted("x"), 2);
  const stream = standardStream(sink);
  stream.write("abcdefgh");
  assert.deepEqual([sink.taken(), stream.failure()], ["abcdefgh", undefined]);
});

Deno.test("standardStream: nobody who reads is no failure, a full disk is one", () => {
  const gone = [
    new Deno.errors.BrokenPipe("Broken pipe (os error 32)"),
    new Deno.errors.ConnectionReset("x"),
    failure("EIO", "Input/output error (os error 5)"),
  ];
  for (const error of gone) {
    const sink = scripted(error);
    const stream = standardStream(sink);
    stream.write("one");
    stream.write("two");
    assert.deepEqual([sink.taken(), stream.failure()], ["", undefined], error.message);
  }
  const stream = standardStream(
    scripted(failure("ENOSPC", "No space left on device (os error 28)")),
  );
  stream.write("one");
  assert.equal(stream.failure(), "no space left on the device");
});

Deno.test("guardConsole: whatever prints, prints through the guarded streams", () => {
  const methods = ["log", "info", "debug", "warn", "error"] as const;
  const before = Object.fromEntries(methods.map((name) => [name, console[name]]));
  try {
    const [out, err] = [scripted(), scripted()];
    guardConsole({ out: standardStream(out), err: standardStream(err) });
    console.log("a %s", "b", 1);
    console.info("c");
    console.debug("d");
    console.warn("e");
    console.error("f");
    assert.deepEqual([out.taken(), err.taken()], ["a b 1\nc\nd\n", "e\nf\n"]);
  } finally {
    Object.assign(console, before);
  }
});

Deno.test("useColor follows NO_COLOR, then FORCE_COLOR, then the terminal", () => {
  const color = (terminal: boolean, env: Record<string, string> = {}) =>
    useColor({ isTerminal: () => terminal }, (name) => env[name]);
  assert.deepEqual([color(true), color(false)], [true, false]);
  assert.equal(color(true, { NO_COLOR: "1" }), false);
  assert.equal(color(true, { NO_COLOR: "" }), true);
  assert.equal(color(false, { FORCE_COLOR: "1" }), true);
  assert.equal(color(false, { FORCE_COLOR: "true" }), true);
  assert.equal(color(true, { FORCE_COLOR: "0" }), false);
  assert.equal(color(true, { FORCE_COLOR: "false" }), false);
  assert.equal(color(false, { FORCE_COLOR: "" }), false);
  assert.equal(color(true, { NO_COLOR: "1", FORCE_COLOR: "1" }), false);
});
