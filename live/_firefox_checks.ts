/**
 * What Firefox does with the live page, run as a program of its own by `firefox_test.ts`, with Firefox's
 * path and the page's file. Prints a line of JSON for each check.
 */
import assert from "node:assert/strict";
import { fileURLToPath, pathToFileURL } from "node:url";
import { check } from "../reports/site/_check_lines.ts";
import { type FirefoxTab, startFirefox } from "./_firefox.ts";

const [path, file] = Deno.args;
const ADDRESS = pathToFileURL(file).href;
const BASELINE = fileURLToPath(new URL("../fixtures/baselines/h200-default.json", import.meta.url));

const STATE = "document.documentElement.dataset.state";

/** No line on the console, and no request but for the page, which Firefox does not list from disk. */
function assertQuiet({ complaints, requests }: FirefoxTab, address: string): void {
  assert.deepEqual(complaints, []);
  const others = requests.filter((url) => url !== address && !/^(blob|about|data):/.test(url));
  assert.deepEqual(others, []);
}

async function withFirefox(
  options: Parameters<typeof startFirefox>[1],
  run: (tab: FirefoxTab) => Promise<void>,
): Promise<void> {
  const tab = await startFirefox(path, options);
  try {
    await run(tab);
  } finally {
    await tab.close();
  }
}

await withFirefox({ preferences: { "dom.webgpu.enabled": false } }, async (tab) => {
  await check("without WebGPU the page opens without an error and says what helps", async () => {
    await tab.resize(390, 800);
    await tab.open(ADDRESS);
    assert.equal(await tab.waitFor(`${STATE} !== "looking" && ${STATE}`), "missing");
    const text = String(await tab.evaluate("document.body.innerText"));
    assert.match(text, /This browser has no WebGPU/);
    assert.match(text, /Firefox \(this browser\)\n.*about:config/);
    const wide = Number(await tab.evaluate("document.documentElement.scrollWidth"));
    assert.ok(wide <= 390, `${wide} px wide`);
    assertQuiet(tab, ADDRESS);
  });
  await check("results of others are shown, chosen and dropped", async () => {
    await tab.setFiles("input[type=file]", [BASELINE]);
    const title = await tab.waitFor(`document.getElementById("result-title")?.textContent`);
    assert.equal(title, "Result: h200-default.json");
    assert.match(
      String(await tab.evaluate(`document.querySelector(".ratio").innerText`)),
      /^\d.*×$/,
    );
    const heading = await tab.evaluate(`new Promise((resolve) => {
      const frame = document.querySelector("iframe");
      const look = () => {
        const heading = frame.contentDocument?.querySelector("h1");
        if (heading) resolve(heading.textContent);
      };
      frame.addEventListener("load", look);
      look();
    })`);
    assert.notEqual(heading, "");
    const drop = (name: string, text: string) =>
      tab.evaluate(`{
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([${JSON.stringify(text)}], ${JSON.stringify(name)}));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
        ""
      }`);
    await drop("broken.json", '{"schemaVersion": 2, "cases": [');
    const alert = await tab.waitFor(`document.querySelector("[role=alert]")?.textContent`);
    assert.match(String(alert), /broken\.json/);
    await drop("dropped.json", await Deno.readTextFile(BASELINE));
    await tab.waitFor(`document.getElementById("result-title")?.textContent.includes("dropped")`);
    assertQuiet(tab, ADDRESS);
  });
});

const SWITCHED_ON = { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true };

await withFirefox({ preferences: SWITCHED_ON }, async (tab) => {
  await check("with WebGPU switched on it measures, or says that it finds no adapter", async () => {
    const address = `${ADDRESS}?mode=quick&budget=60&autostart`;
    await tab.open(address);
    const state = await tab.waitFor(
      `lighthouse.state().error ?? (["missing", "finished"].includes(${STATE}) && ${STATE} ||
        lighthouse.state().running?.finished.length > 0 && "running")`,
    );
    if (state === "missing") {
      const text = String(await tab.evaluate("document.body.innerText"));
      assert.match(text, /found no adapter|has no WebGPU/);
      return;
    }
    assert.match(String(state), /^(running|finished)$/);
    await tab.evaluate(`document.querySelector(".running button")?.click()`);
    assert.equal(
      await tab.waitFor(`lighthouse.state().error ?? (${STATE} === "finished" && "finished")`),
      "finished",
    );
    const statuses = String(
      await tab.evaluate(
        `lighthouse.state().shown[0].result.cases.map(({ status }) => status).join()`,
      ),
    ).split(",");
    assert.ok(statuses.includes("ok") && !statuses.includes("failed"), statuses.join());
    assertQuiet(tab, address);
  });
});
