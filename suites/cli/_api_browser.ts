/**
 * Opens pages of `api/` in Chromium, as files, and says as one line of JSON what went wrong there.
 *
 * Arguments: path of Chromium, folder of the pages.
 *
 * @module
 */
import { chromium } from "playwright-core";

const [executablePath, folder] = Deno.args;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const faults: string[] = [];
try {
  const page = await browser.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith("file:")) faults.push(`it asks for ${request.url()}`);
  });
  await page.goto(`file://${folder}/index.html`);
  await page.locator("a[title=denseAttention]").first().click();
  await page.waitForURL(/denseAttention\.html/);
  // Scripts run under the policy: the search is theirs.
  await page.locator("#searchbar").fill("lighthouseNorm");
  await page.locator("#searchResults a").first().waitFor();
} catch (error) {
  faults.push((error as Error).message);
} finally {
  await browser.close();
}
console.log(JSON.stringify(faults));
Deno.exit(0);
