/**
 * Opens the built page in Chromium and prints what it shows, as one line of JSON. It is a separate
 * program, because Playwright needs all permissions, which the tests do not have. `browser_test.ts`
 * starts it with two arguments: CHROMIUM, then the page's file.
 *
 * @module
 */
import { chromium } from "playwright-core";
import { pathToFileURL } from "node:url";

/** What the page showed. */
export interface Shown {
  /** `On ADAPTER, …`, or why nothing ran. */
  status: string;
  /** Cells of the table's rows. */
  rows: string[][];
  /** Errors that the page threw, and everything that it printed. */
  complaints: string[];
  /** Addresses that it requested. */
  requests: string[];
}

if (import.meta.main) {
  const [executablePath, page] = Deno.args;
  const browser = await chromium.launch({
    executablePath,
    args: [
      // Chromium's own CPU adapter, the same on every machine; on Linux WebGPU still needs a flag.
      "--enable-unsafe-webgpu",
      "--use-webgpu-adapter=swiftshader",
      ...Deno.uid() === 0 ? ["--no-sandbox"] : [],
    ],
  });
  try {
    console.log(JSON.stringify(await showPage(await browser.newPage(), pathToFileURL(page).href)));
  } finally {
    await browser.close();
  }
}

async function showPage(
  page: Awaited<ReturnType<Awaited<ReturnType<typeof chromium.launch>>["newPage"]>>,
  url: string,
): Promise<Shown> {
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(url);
  await page.waitForFunction(
    () => !document.getElementById("status")!.textContent!.endsWith("…"),
    undefined,
    { timeout: 120_000 },
  );
  const { status, rows } = await page.evaluate(() => ({
    status: document.getElementById("status")!.textContent!,
    rows: [...document.querySelectorAll("tbody tr")].map((row) =>
      [...row.querySelectorAll("td")].map((cell) => cell.textContent!)
    ),
  }));
  return { status, rows, complaints, requests };
}
