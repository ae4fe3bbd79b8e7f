/**
 * What only a browser can tell of the live page, run as a program of its own: Playwright asks for
 * everything that a program may have, which the tests do not give. `live_test.ts` starts it with
 * Chromium's path, the page's file, and `--all` for the checks that take whole runs.
 *
 * Prints a line of JSON for each check: `{"name", "ok", "detail"}`.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { pathToFileURL } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { hostileResult } from "../suites/result/_hostile_result.ts";
import { resultSchema } from "../suites/result/result_schema.ts";
import {
  assertNarrow,
  assertQuiet,
  open,
  PATIENCE,
  serve,
  violations,
  waitFor,
} from "./_live_page.ts";
import type { Answer, DeviceFound, Request } from "./protocol.ts";
import type { TrainingMoment } from "./tiny_training.ts";
import { check } from "../reports/site/_check_lines.ts";

/** Chromium's own CPU adapter, the same on every machine; on Linux WebGPU is still behind a flag. */
const GPU_FLAGS = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

const BASELINES = new URL("../fixtures/baselines/", import.meta.url);

const [executablePath, file, ...flags] = Deno.args;

/** A device that computes nothing. */
const DEVICE: DeviceFound = {
  adapter: {
    ...{ vendor: "a", architecture: "b", device: "", description: "" },
    ...{ isFallbackAdapter: false, software: false },
  },
  name: "a made-up device",
  features: [],
  capabilities: { f16: true, subgroups: true, matrixUnits: false, timestamps: true },
  maxBufferBytes: 2 ** 30,
  training: {
    ...{ able: true, layers: 2, context: 8192, gathered: 1536, steps: 40, tokensPerStep: 8192 },
    ...{ parameters: 102720, bytes: 2 ** 28, limitSeconds: 90 },
  },
};

/** A training some steps under way. */
function trainingMoment(steps: number): TrainingMoment {
  return {
    text: "Training both models in turns …",
    steps: 40,
    entropy: 0.25,
    secondsLeft: 3000,
    arms: (["dense", "lighthouse-norm"] as const).map((name, i) => ({
      name,
      losses: Array.from({ length: steps }, (_, step) => step === 3 ? null : 6 - (step + i) / 10),
      tokensPerSecond: 1e5 * (1 + i),
    })),
  };
}

/** In the page: a worker that answers at once, so that looks need no device. */
function answerInPlace({ device, moment }: { device: DeviceFound; moment: TrainingMoment }): void {
  globalThis.Worker = class {
    onmessage?: (event: { data: Answer }) => void;
    postMessage({ type }: Request) {
      const answers: Partial<Record<Request["type"], Answer>> = {
        "find-device": { type: "device", device },
        "train": { type: "training", training: moment },
        "stop": { type: "trained", end: "stopped" },
      };
      const data = answers[type];
      if (data) queueMicrotask(() => this.onmessage!({ data }));
    }
  } as unknown as typeof Worker;
}

async function looks(browser: Browser, address: string): Promise<void> {
  await check("without WebGPU the page says what helps", async () => {
    const context = await browser.newContext();
    // The worker has a navigator of its own, and its program comes from a blob.
    await context.addInitScript(() => {
      const toUrl = URL.createObjectURL.bind(URL);
      URL.createObjectURL = (blob) =>
        toUrl(
          new Blob([
            "Object.defineProperty(WorkerNavigator.prototype,'gpu',{value:undefined});",
            blob as Blob,
          ], { type: "text/javascript" }),
        );
    });
    const { page, complaints } = await open(context, address);
    await waitFor(page, "missing");
    await page.getByText("This browser has no WebGPU").waitFor();
    // The visitor's browser comes first.
    assert.equal(
      await page.locator(".missing dt").first().innerText(),
      "Chrome, Edge (this browser)",
    );
    await assertNarrow(page);
    assert.deepEqual(complaints, []);
    await context.close();
  });
  await check("the training is operated by keyboard and fills its curves in", async () => {
    const context = await browser.newContext();
    await context.addInitScript(answerInPlace, { device: DEVICE, moment: trainingMoment(7) });
    const { page, complaints } = await open(context, address);
    await waitFor(page, "ready");
    await assertNarrow(page);
    const button = page.getByRole("button", { name: "Train both" });
    await button.focus();
    await page.keyboard.press("Enter");
    await waitFor(page, "training");
    await assertNarrow(page);
    const curves = page.locator(".training .drawing:visible .law");
    assert.equal(await curves.count(), 3);
    for (const one of await curves.all()) assert.ok((await one.boundingBox())!.width > 30);
    assert.match(
      await page.locator(".training .left").innerText(),
      /^step 7 of 40, about \d/,
    );
    assert.match(await page.locator(".standing tbody").innerText(), /Lighthouse\s+7\s+5\.\d\d/);
    assert.ok(await page.getByRole("button", { name: "Measure" }).isDisabled());
    // The focus stayed on the button, which stops now.
    await page.keyboard.press("Enter");
    await page.getByText("Stopped.").waitFor();
    await waitFor(page, "ready");
    assert.equal(await button.evaluate((one) => one === document.activeElement), true);
    assert.equal(await curves.count(), 3);
    assert.deepEqual(complaints, []);
    await context.close();
  });
  await check(
    "a result file is shown, several are compared, others refused in a line",
    async () => {
      const context = await browser.newContext();
      const opened = await open(context, address);
      const { page } = opened;
      await waitFor(page, "missing", "ready");
      const files = page.locator("input[type=file]");
      const alert = page.locator("[role=alert]");
      const hostile = [
        ["empty.json", "", /it is empty/],
        ["cut.json", '{"schemaVersion": 2, "cases": [', /cut off/],
        [
          "other.json",
          '{"<img src=x onerror=alert(1)>": 1}',
          /cannot use result file other\.json/i,
        ],
        ["deep.json", "[".repeat(1000) + "]".repeat(1000), /nested deeper/],
      ] as const;
      for (const [name, text, complaint] of hostile) {
        await files.setInputFiles({ name, mimeType: "application/json", buffer: bytes(text) });
        await page.waitForFunction(
          (name) => document.querySelector("[role=alert]")?.textContent?.includes(name),
          name,
        );
        assert.match(await alert.innerText(), complaint);
        assert.equal(await page.locator("iframe").count(), 0);
      }
      const good = { name: "h200.json", mimeType: "application/json", buffer: await baseline() };
      await files.setInputFiles(good);
      await waitFor(page, "finished");
      assert.match(await page.locator(".ratio").innerText(), /^\d[\d.,]*×$/);
      assert.equal(await page.locator("#result-title").innerText(), "Result: h200.json");
      const curve = await page.locator(".findings .drawing:visible .curve").boundingBox();
      assert.ok(curve !== null && curve.width > 200 && curve.height > 50, "the curve is drawn");
      const report = page.frameLocator("iframe");
      await report.locator("h1").first().waitFor();
      assert.deepEqual(await violations(page), []);
      await files.setInputFiles([good, { ...good, name: "again.json" }]);
      await page.getByText("Comparison of 2 results").waitFor();
      await files.setInputFiles(Array.from({ length: 5 }, () => good));
      await page.getByText("cannot compare 5 result files: the limit is 4").waitFor();
      assertQuiet(opened, address);
      await context.close();
    },
  );
}

/** Checks of single sentences of the page, which need no device. */
async function details(browser: Browser, address: string): Promise<void> {
  await check(
    "a value of the address that cannot be used is named, and nothing starts",
    async () => {
      const context = await browser.newContext();
      await context.addInitScript(answerInPlace, { device: DEVICE, moment: trainingMoment(0) });
      const { page, complaints } = await open(context, `${address}?mode=fast&autostart`);
      await waitFor(page, "ready");
      await page.getByText(/mode fast is not one of quick, standard, long, needle/).waitFor();
      assert.equal(await page.evaluate(() => globalThis.lighthouse.state().running), null);
      assert.deepEqual(complaints, []);
      await context.close();
    },
  );
  await check(
    "a hostile file shows text and runs nothing; closing keeps the keyboard",
    async () => {
      const context = await browser.newContext();
      await context.grantPermissions(["clipboard-write"]);
      await context.addInitScript(answerInPlace, { device: DEVICE, moment: trainingMoment(0) });
      const { page, complaints } = await open(context, address);
      await waitFor(page, "ready");
      await page.locator("input[type=file]").setInputFiles({
        name: "\u202e<img src=x onerror=globalThis.pwned=1>.json",
        mimeType: "application/json",
        buffer: bytes(JSON.stringify(hostileResult())),
      });
      await waitFor(page, "finished");
      const report = page.frameLocator("iframe");
      await report.locator("h1").first().waitFor();
      assert.deepEqual(
        await page.evaluate(() => [
          "pwned" in globalThis,
          "pwned" in document.querySelector("iframe")!.contentWindow!,
          document.querySelectorAll("main img, main base, main svg[onload]").length,
          document.querySelector<HTMLElement>(".result")!.innerText.includes("\u202e"),
        ]),
        [false, false, 0, false],
      );
      assert.deepEqual(await violations(page), []);
      await page.getByRole("button", { name: "Copy JSON" }).click();
      await page.getByRole("button", { name: "Copied" }).waitFor();
      await page.getByRole("button", { name: "Close" }).focus();
      await page.keyboard.press("Enter");
      await waitFor(page, "ready");
      assert.equal(await page.evaluate(() => document.activeElement?.id), "device-title");
      assert.deepEqual(complaints, []);
      await context.close();
    },
  );
}

async function runs(browser: Browser, served: string): Promise<void> {
  const fromFile = `${pathToFileURL(file).href}?mode=quick&autostart&budget=120&device=A%20test`;
  await check("a quick run from a file, to the rendered report", async () => {
    const context = await browser.newContext();
    const opened = await open(context, fromFile);
    const { page } = opened;
    await waitFor(page, "running");
    assert.deepEqual(await violations(page), []);
    await waitFor(page, "finished");
    const result = await page.evaluate(() => globalThis.lighthouse.state().shown[0].result);
    resultSchema.parse(result);
    assert.equal(result.environment.device.name, "A test");
    assert.match(result.environment.runtime.browser!, /^Chrome \d/);
    assert.equal(result.stack, "browser");
    assert.deepEqual(result.cases.filter(({ status }) => status === "failed"), []);
    assert.ok(result.cases.some(({ statistic }) => statistic !== undefined));
    await page.frameLocator("iframe").locator("h1").first().waitFor();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download picture" }).click(),
    ]);
    assert.match(download.suggestedFilename(), /^lighthouse-a-test-[\d-]+\.png$/);
    assertQuiet(opened, fromFile);
    const digests = result.cases.flatMap(({ id, digest }) =>
      digest?.seededSelection ? [[id, digest.seededSelection]] : []
    );
    console.log(JSON.stringify({ digests }));
    await context.close();
  });
  await check("Stop, by keyboard, keeps what is finished", async () => {
    const context = await browser.newContext();
    const { page, complaints } = await open(context, `${served}?mode=quick&budget=120`);
    await waitFor(page, "ready");
    await page.getByRole("button", { name: "Measure" }).focus();
    await page.keyboard.press("Enter");
    await waitFor(page, "running");
    await page.waitForFunction(
      () => (globalThis.lighthouse.state().running?.finished.length ?? 0) > 0,
      undefined,
      PATIENCE,
    );
    await page.getByRole("button", { name: /^Stop/ }).focus();
    await page.keyboard.press("Enter");
    await waitFor(page, "finished");
    const { result, name } = await page.evaluate(() => globalThis.lighthouse.state().shown[0]);
    assert.equal(name, "this run, stopped");
    assert.equal(result.finishedAt, null);
    assert.ok(result.cases.length > 0);
    assert.deepEqual(complaints, []);
    await context.close();
  });
  await check("the training trains, and Stop ends it", async () => {
    const context = await browser.newContext();
    const { page, complaints } = await open(context, served);
    await waitFor(page, "ready");
    await page.getByRole("button", { name: "Train both" }).click();
    await page.waitForFunction(
      () => globalThis.lighthouse.state().training?.moment?.arms[1]?.losses.length === 2,
      undefined,
      PATIENCE,
    );
    await page.getByRole("button", { name: "Stop training" }).click();
    await waitFor(page, "ready");
    const { end, moment } = await page.evaluate(() => globalThis.lighthouse.state().training!);
    assert.equal(end, "stopped");
    for (const { losses, tokensPerSecond } of moment!.arms) {
      assert.ok(Math.abs(losses[0]! - Math.log(256)) < 1, `${losses}`);
      assert.ok(tokensPerSecond! > 0);
    }
    assert.deepEqual(complaints, []);
    await context.close();
  });
  await check("one tab measures at a time, and a reload loses nothing finished", async () => {
    const context = await browser.newContext();
    const first = await open(context, `${served}?mode=quick&budget=120&autostart`);
    await waitFor(first.page, "running");
    const second = await open(context, served);
    await waitFor(second.page, "ready");
    await second.page.getByRole("button", { name: "Measure" }).click();
    await second.page.getByText("Another tab of this page is measuring").waitFor();
    await first.page.bringToFront();
    await first.page.waitForFunction(
      () => (globalThis.lighthouse.state().running?.partial?.cases.length ?? 0) > 0,
      undefined,
      PATIENCE,
    );
    await first.page.goto(served);
    await first.page.getByRole("button", { name: "Show it" }).click();
    await waitFor(first.page, "finished");
    await context.close();
  });
  await check("a lost device ends the run and not the page", async () => {
    const context = await browser.newContext();
    const { page } = await open(context, `${served}?mode=quick&budget=120&autostart`);
    await page.waitForFunction(
      () => (globalThis.lighthouse.state().running?.partial?.cases.length ?? 0) > 0,
      undefined,
      PATIENCE,
    );
    await page.evaluate(() => globalThis.lighthouse.post({ type: "lose-device" }));
    await waitFor(page, "finished");
    const { result } = await page.evaluate(() => globalThis.lighthouse.state().shown[0]);
    assert.ok(result.cases.some(({ status }) => status === "failed"));
    assert.ok(result.cases.some(({ status }) => status === "ok"));
    await page.getByRole("button", { name: "Measure" }).waitFor();
    await context.close();
  });
}

function bytes(text: string): Buffer {
  return Buffer.from(text);
}

async function baseline(): Promise<Buffer> {
  return Buffer.from(await Deno.readFile(new URL("h200-default.json", BASELINES)));
}

const launch = (args: readonly string[]) =>
  chromium.launch({
    executablePath,
    args: [...args, ...Deno.uid() === 0 ? ["--no-sandbox"] : []],
  });

const server = await serve(file);
// Looks alone need no device, and a browser without one draws with less work.
const browser = await launch(flags.includes("--all") ? GPU_FLAGS : ["--disable-gpu"]);
try {
  await looks(browser, server.address);
  await details(browser, server.address);
  if (flags.includes("--all")) await runs(browser, server.address);
} finally {
  await browser.close();
  await server.stop();
}
