/** The style sheet of the report: light, dark and print, wide and narrow, without web fonts. */

/** Columns up to this one are marked as text by a class of their table; further cells one by one. */
export const MARKED_COLUMNS = 16;

/** For every page. */
export const STYLE = `
:root{
  --target:24px;
  --paper:#fcfbf8;--card:#ffffff;--ink:#1d1c1a;--soft:#5d5a54;--faint:#8a867e;--rule:#e3dfd6;--rule-strong:#bdb8ac;
  --tint:#f3f0e9;--link:#0b5c94;
  --accent:#0072b2;--other-1:#8a6d00;--other-2:#555555;--other-3:#5a4fa2;--other-4:#007a87;--other-5:#a03b2a;--other-6:#4f6d00;
  --cycle-1:#0072b2;--cycle-2:#d55e00;--cycle-3:#009e73;--cycle-4:#b8578e;--cycle-5:#8a6d00;--cycle-6:#555555;--cycle-7:#5a4fa2;--run:#1d1c1a;
  --stage-1:#e69f00;--stage-2:#cc79a7;--stage-3:#33b48d;--stage-4:#0072b2;--stage-5:#56b4e9;--stage-6:#b8577f;--stage-7:#9ad3bd;--stage-8:#4a5fa8;--stage-9:#a8d8f0;--stage-other:#9a9a9a;
  --good:#00735a;--warn:#8a5a00;--bad:#a8330a;--notice:#fdf3dc;--notice-edge:#e0a100;--bad-tint:#fbeae3;
  --serif:"Iowan Old Style","Charter","Bitstream Charter","Source Serif 4","Palatino Linotype",Palatino,Georgia,"Times New Roman",serif;
  --sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
  --mono:ui-monospace,"SF Mono","Cascadia Mono",Menlo,Consolas,"Liberation Mono",monospace;
  color-scheme:light dark;
}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){DARK}}
:root[data-theme=dark]{DARK}
:root[data-theme=light]{color-scheme:light}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:4rem;-webkit-text-size-adjust:100%}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 var(--sans);font-variant-numeric:tabular-nums;overflow-wrap:break-word}
a{color:var(--link);text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--link);outline-offset:3px;border-radius:2px}
.visually-hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.skip{position:absolute;left:-999px;top:0;background:var(--card);padding:.6rem 1rem;z-index:3}
.skip:focus{left:0}
nav{position:sticky;top:0;z-index:2;display:flex;align-items:baseline;gap:1.4rem;padding:.7rem max(1.5rem,calc((100vw - 1120px)/2));background:color-mix(in srgb,var(--paper) 94%,transparent);backdrop-filter:blur(8px);border-bottom:1px solid var(--rule);font-size:.82rem}
nav .brand{font-weight:650;letter-spacing:.01em;white-space:nowrap}
nav ul{display:flex;flex:1;mask-image:linear-gradient(90deg,#000 calc(100% - 2rem),transparent);gap:.95rem;list-style:none;margin:0;padding:0 2rem 2px 0;overflow-x:auto;scrollbar-width:none;white-space:nowrap}
nav a{color:var(--soft);text-decoration:none}
nav a:hover{color:var(--ink);text-decoration:underline}
nav.site{position:static;background:none;backdrop-filter:none;border-bottom:1px solid var(--rule);font-size:.88rem;padding-top:.85rem;padding-bottom:.85rem}
nav.site a[aria-current]{color:var(--ink);font-weight:650;text-decoration:underline;text-decoration-thickness:2px;text-underline-offset:.35em}
main,footer{max-width:1168px;margin:0 auto;padding:0 1.5rem}
.masthead{padding:2.8rem 0 .3rem}
.kicker{margin:0 0 .5rem;font-size:.78rem;font-weight:650;letter-spacing:.12em;text-transform:uppercase;color:var(--soft)}
.verdict{font:600 clamp(1.75rem,1.1rem + 2.6vw,3rem)/1.12 var(--serif);letter-spacing:-.012em;margin:0;max-width:24em;text-wrap:balance}
main>.verdict{padding-top:3.4rem}
.facts{margin:.9rem 0 1.1rem;color:var(--soft);font-size:.92rem}
.facts span{display:inline-block}
.facts span:not(:last-child)::after{content:"·";margin:0 .55em;color:var(--faint)}
.notice{margin:.5rem 0;padding:.5rem .9rem;border-left:4px solid var(--notice-edge);background:var(--notice);font-size:.92rem;max-width:60rem}
.notice.same{border-color:var(--rule-strong);background:var(--tint)}
.notice.failed{border-color:var(--bad);background:var(--bad-tint)}
section{padding:2.2rem 0 1.6rem}
section+section{border-top:1px solid var(--rule)}
.masthead+section{padding-top:.8rem}
h2{font:600 1.72rem/1.2 var(--serif);letter-spacing:-.008em;margin:.6rem 0 1.3rem;max-width:30em;text-wrap:balance}
h3{font-size:.95rem;font-weight:650;margin:1.6rem 0 .6rem}
.lead{font-size:1.02rem;color:var(--soft);max-width:44em}
.power sup,.notes sup{font-size:.68em;line-height:0;vertical-align:.5em}
.run{border-top:6px solid var(--ink);margin-top:3rem}
.spread{display:grid;grid-template-columns:minmax(0,1fr) 15.5rem;gap:3rem;align-items:start}
.notes{font-size:.92rem;color:var(--soft);padding-top:.3rem}
.notes p{margin:0 0 1.1rem}
.figure-number{display:block;font:600 1.9rem/1.15 var(--serif);color:var(--ink)}
.figure-label{display:block}
.figure{margin:0 0 2rem}
.comparison-figure{max-width:760px;margin-top:2rem}
.figure+.figure{margin-top:2.6rem}
figcaption{font-weight:650;font-size:1rem;margin-bottom:.5rem}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.3rem;list-style:none;margin:0 0 .7rem;padding:0;font-size:.86rem;color:var(--soft)}
.facts span{min-width:0;max-width:100%;overflow-wrap:anywhere}
.legend li,.legend button{display:flex;align-items:center;gap:.4rem;overflow-wrap:anywhere}
.legend li{max-width:100%}
.legend button{border:0;background:none;padding:.1rem .3rem;margin:0 -.3rem;color:inherit;max-width:calc(100% + .6rem)}
.legend button:hover{color:var(--ink)}
.legend [aria-pressed=false]{text-decoration:line-through}
.legend [aria-pressed=false] svg{opacity:.3}
.swatch .curve{stroke-width:2}
.filters{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem 1.2rem;padding:.8rem 0;font-size:.86rem;color:var(--soft)}
.filters.active{position:sticky;top:0;z-index:1;background:var(--paper);border-bottom:1px solid var(--rule);flex-wrap:nowrap;overflow-x:auto;white-space:nowrap}
.filters.active [type=reset]{order:-1;margin:0;padding:.15rem .6rem}
nav:not(.site)~main .filters.active{top:2.75rem}
html:has(.filters.active){scroll-padding-top:7.5rem}
.unmatched>:not(h2,.no-match){display:none}
.filters label{display:flex;align-items:center;gap:.45rem}
select{font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--rule-strong);border-radius:4px;padding:.15rem .4rem;max-width:14rem}
th .sort{all:unset;box-sizing:border-box;cursor:pointer;color:inherit;font:inherit;text-align:inherit}
th .sort:focus-visible{outline:2px solid var(--link);outline-offset:3px;border-radius:2px}
th .sort:hover{color:var(--ink);text-decoration:underline}
th[aria-sort] .sort::after{content:" ▲";font-size:.7em}
th[aria-sort=descending] .sort::after{content:" ▼"}
.theme{margin:0 0 0 auto;padding:0 .45rem;font-size:1rem;line-height:1.5;align-self:center}
.copy{margin:.4rem 0 0;padding:.1rem .5rem;font-size:.78rem;color:var(--soft)}
.drawing{display:block;width:100%;height:auto;font-family:var(--sans);overflow:visible}
.drawing.compact{display:none}
.figure{container-type:inline-size}
@container (max-width:599px){.drawing.wide:not(.half){display:none}.drawing.compact:not(.half){display:block}}
@container (max-width:439px){.drawing.wide.half{display:none}.drawing.compact.half{display:block}}
.drawing .off,.legend .off{display:none}
.drawing .some>.curve,.drawing .some>.interval,.drawing .some>.fit{opacity:.18}
.drawing[tabindex]{cursor:crosshair;touch-action:manipulation}
.hair{fill:none;stroke:var(--faint);stroke-width:1;pointer-events:none}
.readout ul{list-style:none;margin:.25rem 0 0;padding:.25rem 0 0;border-top:1px solid var(--rule);color:var(--soft)}
.ring{fill:none;stroke:var(--ink);stroke-width:1.6;pointer-events:none}
tr:has(:target)>*{background:var(--notice)}
.sample-strip{display:block}
.sample-strip path{fill:none}
.sample-strip .rail{stroke:var(--rule);stroke-width:1}
.sample-strip .range{stroke:var(--rule-strong);stroke-width:9;opacity:.45}
.sample-strip .middle{stroke:var(--ink);stroke-width:1.4}
.sample-strip .dots{stroke:var(--accent);stroke-width:4.4;stroke-linecap:round;opacity:.75}
.sample-strip .crosses{stroke:var(--bad);stroke-width:1.4}
.readout{position:absolute;z-index:1;display:grid;gap:0 .6rem;max-width:min(22rem,100%);padding:.45rem .7rem;background:var(--card);border:1px solid var(--rule-strong);border-radius:5px;box-shadow:0 2px 10px #0003;font-size:.82rem;line-height:1.4;pointer-events:none}
.readout[hidden]{display:none}
.readout.pinned{pointer-events:auto}
.readout strong{font-size:1.05rem}
.readout small{color:var(--soft);font-size:.76rem}
.drawing text{font-size:13px;fill:var(--soft)}
.drawing .title{fill:var(--soft);font-size:13px}
.grid line{stroke:var(--rule);stroke-width:1}
.axis line{stroke:var(--rule-strong);stroke-width:1}
.curve{fill:none;stroke:currentColor;stroke-width:2.4;stroke-linejoin:round;stroke-linecap:round}
.faint{fill:none;stroke:var(--rule-strong);stroke-width:1}
.faint.dots{stroke-width:3.5;stroke-linecap:round}
.fit{fill:none;stroke:currentColor;stroke-width:1;opacity:.65}
.law{fill:none;stroke:currentColor;stroke-width:1.5;opacity:.75}
.interval{fill:none;stroke:currentColor;stroke-width:1.6}
.marker{fill:currentColor;stroke:var(--paper);stroke-width:1.4}
.marker.hollow{fill:var(--paper);stroke:currentColor;stroke-width:2}
.stem{stroke:currentColor;stroke-width:2;opacity:.3}
.drawing .direct{fill:var(--ink);font-weight:600;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.leader{fill:none;stroke:var(--faint);stroke-width:1}
.guide path{fill:none;stroke:var(--faint);stroke-width:1.2;stroke-dasharray:5 4}
.guide.strong path{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:none}
.drawing .guide text{fill:var(--soft);font-size:12.5px;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.mark path{fill:var(--ink);stroke:var(--paper);stroke-width:1}
.drawing .mark text{fill:var(--ink);font-weight:650;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.drawing .detail,.drawing .mark .detail{font-weight:400;fill:var(--soft);font-size:12px}
.segment rect{stroke:var(--paper);stroke-width:1.5}
.cells rect{stroke:var(--paper);stroke-width:1.5}
.cells text{text-anchor:middle}
.drawing .inside,.drawing .cells text{fill:#16130c;font-size:12px}
.drawing .cells .absent{fill:var(--soft)}
.drawing .inside.light,.drawing .cells .light{fill:#ffffff}
.drawing .value{fill:var(--ink)}
.source{font-size:.84rem;color:var(--soft);margin:.7rem 0 0;max-width:52rem}
.grid-of-figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1rem 3rem}
.grid-of-small{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:1rem 2.4rem}
.block{margin-top:2.6rem}
.block>.column{max-width:760px}
.block>.scroll{width:fit-content;min-width:min(760px,100%);max-width:100%}
.block sup{font-size:.7em;line-height:0;vertical-align:.5em}
.block>p{max-width:46rem;margin:0 0 1.1rem;color:var(--soft);font-size:.97rem}
.block>h3{font:600 1.18rem/1.3 var(--serif);margin:0 0 .5rem}
.rate-scale{display:block;margin:.2rem 0 1rem;font-size:12px;fill:var(--soft)}
.grid-of-figures .comparison-figure{max-width:760px;margin-top:2rem}
.figure+.figure{margin-top:0}
details{margin-top:.35rem}
summary{cursor:pointer;font-size:.84rem;color:var(--link);width:fit-content}
details.data{margin-top:.8rem}
.scroll{overflow-x:auto;margin:.6rem 0 1rem}
table{border-collapse:collapse;width:100%;font-size:.88rem;line-height:1.4}
caption{text-align:left;color:var(--soft);font-size:.84rem;padding:.2rem 0 .5rem}
th,td{text-align:left;vertical-align:top;padding:.42rem 1.1rem .42rem 0;border-bottom:1px solid var(--rule);font-weight:400}
thead th{color:var(--soft);font-size:.8rem;font-weight:600;border-bottom:1px solid var(--rule-strong);vertical-align:bottom}
.number{text-align:right;white-space:nowrap}
.shapes{position:absolute}
.scroll{background:linear-gradient(90deg,var(--paper) 40%,transparent) left/2rem 100% no-repeat local,linear-gradient(-90deg,var(--paper) 40%,transparent) right/2rem 100% no-repeat local,linear-gradient(90deg,var(--rule-strong),transparent) left/.55rem 100% no-repeat scroll,linear-gradient(-90deg,var(--rule-strong),transparent) right/.55rem 100% no-repeat scroll}
.scroll thead th.number{white-space:normal}
.scroll td{min-width:4.5rem;text-align:right;white-space:nowrap}
.scroll .n tbody th{text-align:right;white-space:nowrap}
.scroll td.t,TEXT_COLUMNS{text-align:left;white-space:normal}
.scroll tbody th.long{overflow-wrap:anywhere;min-width:11rem}
.case{display:block;min-width:13rem}
.more-rows{margin:.5rem 0 0;color:var(--soft);font-size:.88rem;position:sticky;left:0}
.claims{font-size:.93rem;table-layout:fixed}
.claims thead th{position:static}
.claims td,.claims tbody th{padding-top:.6rem;padding-bottom:.6rem}
.more{display:flex;flex-wrap:wrap;gap:0 1.2rem}
.more details[open]{flex-basis:100%}
.nearest{display:block;font-size:.9rem;margin-bottom:.15rem}
.claims td>.why{margin-top:0}
.claims .verdict-cell{white-space:nowrap}
.claim{display:block;font-weight:620;line-height:1.35}
.why{display:block;color:var(--soft);font-size:.86rem;margin-top:.2rem;max-width:34em}
.quantity{display:block;font-size:1rem}
.quantity.ours{font-weight:650;font-size:1.12rem;line-height:1.35}
.aside{display:block;color:var(--soft);font-size:.82rem}
.cell{display:inline-block;min-width:4.6rem;padding:.1rem .4rem;border-radius:2px}
.cell .aside{color:inherit}
.absent{color:var(--faint)}
.share{display:block}
.share svg{display:block;margin-top:.1rem;max-width:100%}
.share .rail{stroke:var(--rule-strong);stroke-width:1}
.share .paper{stroke:var(--ink);stroke-width:2}
.share .interval{stroke:var(--accent);stroke-width:3}
.share .ours{fill:var(--accent);stroke:var(--paper);stroke-width:1.2}
.verdict-mark{display:inline-flex;align-items:center;gap:.45rem;font-weight:600}
.verdict-mark svg{flex:none}
.verdict-mark .filled{fill:currentColor}
.verdict-mark .open{fill:none;stroke:currentColor;stroke-width:2}
.verdict-mark .dashed{stroke-width:1.4;stroke-dasharray:2.4 2}
.mark-reproduced{color:var(--good)}
.mark-partly{color:var(--warn)}
.mark-not-reproduced{color:var(--bad)}
.mark-not-run,.mark-not-the-paper-s-claim{color:var(--soft);font-weight:400}
code{overflow-wrap:anywhere;font:.84rem/1.5 var(--mono)}
.rerun code{display:block;background:var(--tint);padding:.55rem .75rem;margin-top:.35rem;border-radius:3px;user-select:all}
.pairs{display:grid;grid-template-columns:minmax(7rem,max-content) minmax(0,1fr);gap:.25rem 1.2rem;margin:.4rem 0;font-size:.86rem}
.pairs dt{color:var(--soft)}
.claims .pairs{grid-template-columns:minmax(0,1fr) max-content;font-size:.82rem}
.pairs dd{margin:0;overflow-wrap:anywhere}
.pairs dt{overflow-wrap:anywhere;max-width:min(45vw,20rem)}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:0 3rem}
.prose{padding-left:1.1rem;max-width:48rem}
footer{border-top:1px solid var(--rule);margin-top:2rem;padding-top:1.4rem;padding-bottom:3rem;font-size:.86rem;color:var(--soft)}
footer p{max-width:48rem}
.run-link{font-weight:620;white-space:nowrap}
.slower{color:var(--bad)}
.faster{color:var(--good)}
.spark{display:block}
.spark path{fill:none;stroke:var(--accent);stroke-width:1.6;stroke-linejoin:round}
.spark circle{fill:var(--ink)}
.level{stroke:currentColor;stroke-width:5;opacity:.28;fill:none}
.said dt{font-weight:620;margin-top:1.1rem}
.said dd{margin:.15rem 0 0;color:var(--soft);font-size:.92rem;max-width:48rem}
section>.lead{margin:0 0 1.4rem}
button{font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--rule-strong);border-radius:4px;padding:.45rem .9rem;margin-right:.6rem;cursor:pointer}
button[hidden]{display:none}
.figure{position:relative}
.export{margin:.35rem 0 0;min-height:1.7rem}
.export button{padding:.1rem .5rem;font-size:.78rem;color:var(--soft);margin-right:.4rem}
.export button:hover{color:var(--ink);border-color:var(--ink)}
@media (pointer:coarse){:root{--target:44px}}
@media screen{
  nav li a,th .sort{display:inline-block}
  nav li a,summary,button,th .sort,select{min-height:var(--target);box-sizing:border-box}
  nav li a,summary,th .sort{padding-block:max(0px,calc((var(--target) - 1lh)/2))}
}
@media screen and (max-width:960px){.spread{grid-template-columns:minmax(0,1fr);gap:.6rem}.notes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,14rem),1fr));gap:0 2rem}.notes p{margin-bottom:.8rem}}
@media screen and (max-width:760px){
  .of-site .scroll table{min-width:44rem}
  .of-site #runs .scroll table{min-width:0}
  #runs thead,#runs td:nth-child(5){display:none}
  #runs tbody tr{display:grid;grid-template-columns:minmax(0,1fr) max-content;padding:.7rem 0;border-bottom:1px solid var(--rule)}
  #runs tbody th,#runs tbody td{border:0;padding:.1rem 0;text-align:left;white-space:normal}
  #runs tbody td:nth-child(2),#runs tbody td:nth-child(4){grid-column:1/-1}
  #runs tbody td:nth-child(3){grid-row:1;grid-column:2}
  .claims,.claims tbody,.claims tr,.claims td,.claims th{display:block;width:auto!important}
  .claims thead{display:none}
  .claims tbody tr{border-bottom:1px solid var(--rule);padding:.8rem 0}
  .claims td,.claims tbody th{border:0;padding:.15rem 0}
  .claims td{display:grid;grid-template-columns:6.6rem minmax(0,1fr);align-items:baseline;margin-top:.3rem}
  .claims td::before{content:attr(data-label);color:var(--soft);font-size:.82rem}
  .claims td>*{grid-column:2}
}
@media screen and (max-width:560px){
  main,footer{padding:0 1.1rem}
  nav{padding:.6rem 1.1rem;gap:1rem}
  nav .brand{display:none}
  .masthead,main>.verdict{padding-top:1.8rem}
  h2{font-size:1.4rem}
  .pairs{grid-template-columns:minmax(0,1fr)}
  .pairs dd{margin-bottom:.35rem}
}
@media print{
  :root,:root[data-theme=dark]{LIGHT}
  @page{margin:16mm 14mm}
  body{font-size:10pt;background:#fff}
  nav,.skip,button,.filters,.readout,.ring,.hair,.export,.data,details:not(.rerun,.folded){display:none}
  .legend button{display:flex;margin:0;padding:0;max-width:100%}
  th .sort{display:inline}
  th[aria-sort] .sort::after{content:""}
  main,footer{max-width:none;padding:0}
  .masthead{padding-top:0}
  .verdict{font-size:22pt}
  .spread{display:block}
  .spread>div:first-child:has(>.figure~.figure){display:grid;grid-template-columns:1fr 1fr;gap:0 1.4rem}
  .spread>div:first-child>:not(.figure){grid-column:1/-1}
  .spread:has(>div:first-child>.figure:first-child):not(:has(>div:first-child>.figure~.figure)){display:grid;grid-template-columns:1fr 1fr;gap:0 1.4rem}
  .spread:not(:has(>div:first-child>.figure~.figure))>.notes{columns:1}
  .spread figcaption{font-size:9.5pt}
  .notes{columns:2;column-gap:2rem;font-size:9pt;padding:0}
  .notes p{break-inside:avoid;margin-bottom:.5rem}
  .figure-number{font-size:14pt}
  .grid-of-figures{grid-template-columns:1fr 1fr;gap:0 1.6rem}
  .grid-of-small{grid-template-columns:1fr 1fr;gap:0 1.6rem}
  .block{margin-top:1rem}
  .block>p{font-size:9pt;max-width:none}
  .rate-scale,.segment rect,.cells rect{print-color-adjust:exact}
  .screen-only,section:has(>.screen-only:only-child){display:none}
  table,.claims{font-size:8.5pt}
  .claims td,.claims tbody th{padding:.35rem .7rem .35rem 0}
  .why,.aside,.source,.nearest{font-size:7.5pt}
  .quantity,.quantity.ours{font-size:9.5pt}
  .figure{margin-bottom:.6rem}
  .figure,tr,.notice{break-inside:avoid}
  h2,h3,figcaption{break-after:avoid}
  .rerun summary{display:none}
  .rerun::details-content{content-visibility:visible;display:block}
  .rerun code{background:none;padding:0;font-size:7pt}
  section,.masthead+section{padding:.6rem 0 .4rem}
  h2{font-size:15pt;margin:.2rem 0 .5rem}
  section>.lead{margin:0 0 .5rem;font-size:9pt;break-after:avoid}
  .legend{font-size:8pt;gap:.1rem .9rem;margin-bottom:.4rem}
  .source{margin-top:.3rem}
  .figure+.figure{margin-top:0}
  .drawing.compact{width:80%}
  .pairs{font-size:8pt;row-gap:0}
  .scroll th,.scroll td{padding-top:.15rem;padding-bottom:.15rem}
  h3{margin:.7rem 0 .3rem}
  footer{margin-top:.4rem;padding:.5rem 0 0;font-size:7.5pt;break-before:avoid}
}
`.replaceAll(
  "DARK",
  "--paper:#15171a;--card:#1d2024;--ink:#eceae5;--soft:#aeaaa2;--faint:#7f7c76;--rule:#2c2f34;--rule-strong:#4b4f56;" +
    "--tint:#202328;--link:#79bdf0;--accent:#56b4e9;--other-1:#e0c04a;" +
    "--other-2:#b8b8b8;--other-3:#a79df0;--other-4:#4fc3d0;--other-5:#f0897a;--other-6:#a8c94f;" +
    "--cycle-1:#56b4e9;--cycle-2:#f28b3c;--cycle-3:#2fc79c;--cycle-4:#e39cc5;--cycle-5:#e0c04a;" +
    "--cycle-6:#b8b8b8;--cycle-7:#a79df0;--run:#f4f2ed;--stage-4:#1c86c7;--good:#4cc9a4;--warn:#e8b454;--bad:#ff8f66;" +
    "--notice:#2b2618;--notice-edge:#c99310;--bad-tint:#33201a;color-scheme:dark",
).replaceAll(
  "TEXT_COLUMNS",
  Array.from({ length: MARKED_COLUMNS - 1 }, (_, i) => `.scroll .t${i + 2} td:nth-child(${i + 2})`)
    .join(),
).replaceAll(
  "LIGHT",
  "--paper:#fff;--card:#fff;--ink:#111;--soft:#444;--faint:#777;--rule:#ddd;--rule-strong:#999;--tint:#f5f5f5;" +
    "--link:#111;--accent:#0072b2;--other-1:#8a6d00;--other-2:#555;" +
    "--other-3:#5a4fa2;--other-4:#007a87;--other-5:#a03b2a;--other-6:#4f6d00;" +
    "--cycle-1:#0072b2;--cycle-2:#d55e00;--cycle-3:#009e73;--cycle-4:#b8578e;--cycle-5:#8a6d00;" +
    "--cycle-6:#555;--cycle-7:#5a4fa2;--run:#111;--stage-4:#0072b2;--good:#00735a;--warn:#8a5a00;--bad:#a8330a;--notice:#fff;--bad-tint:#fff;" +
    "color-scheme:light",
);
