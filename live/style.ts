/**
 * The page's own style, after the report's.
 *
 * @module
 */
import { STYLE } from "../reports/html/style.ts";

/** All of the page's style. */
export const LIVE_STYLE: string = STYLE + `
body > header, body > main { max-width: 72rem; margin: 0 auto; padding: 0 1rem; }
body > header h1 { font: 600 clamp(1.75rem, 1.1rem + 2.6vw, 3rem)/1.12 var(--serif); }
main section { margin: 1.5rem 0; }
button, .file { font: inherit; min-height: 2.75rem; padding: .4rem 1rem; border: 1px solid var(--rule-strong);
  border-radius: .4rem; background: var(--card); color: var(--ink); cursor: pointer; }
button:disabled { cursor: default; opacity: .6; }
button.primary { background: var(--link); color: var(--paper); border-color: var(--link); }
.file { display: inline-block; }
.file input { position: absolute; opacity: 0; width: 1px; height: 1px; }
.file:focus-within, button:focus-visible, input:focus-visible { outline: 3px solid var(--accent);
  outline-offset: 2px; }
.start .primary { margin-top: .75rem; }
.verdicts { list-style: none; padding: 0; }
.start fieldset { border: 1px solid var(--rule-strong); border-radius: .4rem; padding: .5rem 1rem 1rem; }
.mode { display: flex; gap: .75rem; align-items: baseline; padding: .5rem 0; }
.mode input { min-width: 1.25rem; min-height: 1.25rem; }
.badge { display: inline-block; margin-left: .75rem; padding: .1rem .6rem; border-radius: 1rem;
  font-size: .8rem; background: var(--warn); color: var(--paper); vertical-align: middle; }
.capabilities { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; padding: 0; list-style: none; }
.capabilities .has::before { content: "✓ "; } .capabilities .lacks::before { content: "– "; }
.device-line .badge { margin-left: .6rem; }
.device-name { display: block; } .device-name input { display: block; font: inherit; width: 100%;
  max-width: 32rem; padding: .4rem; }
.bar { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
.bar progress { flex: 1 1 16rem; height: 1.25rem; accent-color: var(--accent); }
.step { overflow-wrap: anywhere; min-height: 3em; }
.checks { list-style: none; padding: 0; overflow-wrap: anywhere; min-height: 14em; }
.training .law { stroke-width: 2.4; opacity: 1; }
.training-status { min-height: 1.55em; }
.standing { max-width: 40rem; }
.missing dt { font-weight: 650; margin-top: .9rem; }
.missing dd { margin: .1rem 0 0; max-width: 44em; }
.notice.failed::first-letter { text-transform: uppercase; }
.notice > p { margin: .3rem 0; }
.checks .failed { color: var(--bad); }
.ratio { font-size: clamp(2.5rem, 12vw, 5rem); line-height: 1.1; margin: 0; font-weight: 700; }
body > header h1 { text-wrap: balance; }
.actions { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem; }
.actions button::first-letter { text-transform: capitalize; }
.findings section { padding: 0; margin: 1rem 0; border: 0; }
.maps { display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
.maps table { width: auto; min-width: 12rem; }
.maps caption { color: var(--ink); }
.maps td { text-align: right; background: color-mix(in srgb, var(--accent) calc(var(--share, 0%) * .45), transparent); }
.maps th + th { text-align: right; }
.maps .empty { color: var(--soft); }
iframe.report { width: 100%; min-height: 30rem; border: 1px solid var(--rule-strong); border-radius: .4rem; }
@media print { .start, .actions, .open, .file { display: none; } }
`;
