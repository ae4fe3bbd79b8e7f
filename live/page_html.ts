/**
 * The page's document: one file that asks nobody for anything.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { PAGE_SCRIPT } from "../reports/html/page.tsx";
import { LIVE_STYLE } from "./style.ts";

/** What a page is made of. */
export interface PageParts {
  /** The bundle of `live.ts`. */
  readonly program: string;
  /** What the build knows and a browser does not: version, commit, hash of the kernels. */
  readonly build: BuildInfo;
}

/** What a result says of the code that measured it. */
export interface BuildInfo {
  readonly version: string;
  readonly commit: string | null;
  readonly dirty: boolean | null;
  /** As `hashKernels` has it. */
  readonly kernels: string | null;
  /** The site that the page lies in, as an address from it; null where it stands alone. */
  readonly site: string | null;
  /** Speed-ups of the published baselines, to set a run against. */
  readonly baselines: readonly PublishedDevice[];
}

/** What one published run found. */
export interface PublishedDevice {
  readonly device: string;
  readonly stack: string;
  readonly points: readonly {
    readonly context: number;
    readonly ratio: number;
  }[];
}

/** The HTML text. The same parts give the same bytes. */
export function livePageHtml({ program, build }: PageParts): string {
  // What ends a script element in HTML ends none in JavaScript strings and patterns.
  const script = `\n${program.replaceAll("</script", "<\\/script").trim()}\n`;
  const hash = (text: string) => `'sha256-${sha256(new TextEncoder().encode(text)).toBase64()}'`;
  const policy = [
    "default-src 'none'",
    // The report is shown in a frame, which keeps to the rules of this page as well as to its own.
    `script-src ${hash(script)} ${hash(PAGE_SCRIPT)}`,
    "worker-src blob:",
    "style-src 'unsafe-inline'",
    "img-src data: blob:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const data = JSON.stringify(build).replaceAll("<", "\\u003c");
  return `<!doctype html>
<html lang="en" data-state="looking">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Lighthouse Attention Bench, live</title>
<link rel="icon" href="data:,">
<style>${LIVE_STYLE}</style>
</head>
<body>
<header>
<h1>Does Lighthouse attention's speed-up hold on this GPU?</h1>
<p>One button runs dense attention and Lighthouse attention
(<a href="https://arxiv.org/abs/2605.06554">arXiv 2605.06554</a>) as WebGPU kernels in this browser,
checks every result against float64, and says which of the paper's claims this device reproduces.
Nothing is sent anywhere.</p>${
    build.site === null ? "" : `\n<p><a href="${build.site}">All published results</a></p>`
  }
</header>
<main id="page"><noscript><p>This page measures with a script, which this browser does not
run.</p></noscript></main>
<script type="application/json" id="build">${data}</script>
<script id="program">${script}</script>
</body>
</html>
`;
}
