/** Rules of the site's own pages, besides those of every page. */
export const SITE_STYLE = `
nav.site{flex-wrap:wrap;row-gap:.2rem}
nav.site ul{flex-wrap:wrap;overflow:visible}
.score{display:flex;flex-wrap:wrap;gap:.4rem 2rem;list-style:none;margin:.2rem 0 1rem;padding:0;font-size:.95rem}
.score b{font:600 1.5rem/1 var(--serif);margin-right:.35rem}
.hero{max-width:760px}
nav.site a,.of-site summary{display:inline-block;padding:.3rem 0}
.of-site summary{display:list-item}
.of-site thead th button{min-height:24px}
.of-site td>a,.of-site tbody th>a{display:inline-block;padding:.3rem 0;margin:-.3rem 0}
@media (pointer:coarse){nav.site a,.of-site summary{padding:.85rem 0}.of-site .legend button,.of-site thead th button,.of-site .export button,.of-site select{min-height:44px}}
.of-site #comparison .nb{white-space:normal}
.of-site #comparison td,.of-site #claims td{white-space:normal}
.of-site .scroll{background:linear-gradient(90deg,var(--paper) 40%,transparent) left/2.4rem 100% no-repeat local,linear-gradient(270deg,var(--paper) 40%,transparent) right/2.4rem 100% no-repeat local,linear-gradient(90deg,var(--rule-strong),transparent) left/.8rem 100% no-repeat scroll,linear-gradient(270deg,var(--rule-strong),transparent) right/.8rem 100% no-repeat scroll}
.filters label{min-width:0;max-width:100%}
.filters select{min-width:0;max-width:100%}
.legend button{text-align:left}
.found{font-weight:650}
.choose{display:grid;grid-template-columns:minmax(0,1fr) max-content minmax(0,1fr);gap:.8rem;align-items:end;margin:.4rem 0 1rem}
.choose[hidden]{display:none}
.choose label,.choices label{display:block;font-size:.84rem;color:var(--soft)}
.choose select,.choices select{font:inherit;font-size:.92rem;color:var(--ink);background:var(--card);border:1px solid var(--rule-strong);border-radius:4px;padding:.35rem .4rem;max-width:100%}
.choose select{display:block;width:100%;margin-top:.2rem}
.choose button{margin:0}
.choices{display:flex;flex-wrap:wrap;gap:.5rem 1.2rem;align-items:center;margin:1rem 0 .2rem}
.choices label{min-width:0;max-width:100%}
.choices select{min-width:0;margin-left:.4rem;max-width:min(20rem,calc(100vw - 12rem))}
.choices label.check{display:flex;gap:.4rem;align-items:center;min-height:1.6rem}
.choices .count{margin-left:auto;font-size:.84rem;color:var(--soft)}
#compare-status{font-size:1.02rem;max-width:52rem;min-height:1.6em}
.sum{margin:.3rem 0 .2rem;color:var(--soft);font-size:.92rem}
#compare-table th button{border:0;background:none;padding:.15rem 0;margin:0;font:inherit;color:inherit;text-align:inherit;text-decoration:underline;text-decoration-color:var(--rule-strong);text-underline-offset:.25em}
#compare-table th[aria-sort=descending] button::after{content:" ↓"}
#compare-table th[aria-sort=ascending] button::after{content:" ↑"}
#compare-table thead th.number{text-align:right}
#compare-table tbody th{min-width:15rem}
#compare-table td.said{text-align:left}
#compare-table .range{min-width:128px;vertical-align:middle;color:var(--soft)}
#compare-table .range svg{display:block}
.range .slower{color:var(--bad)}
.range .faster{color:var(--good)}
.range .zero{stroke:var(--rule-strong)}
.range .ends{stroke:currentColor;stroke-width:2}
.range .dot{fill:currentColor}
td.slower,td.faster{font-weight:650}
.doc{max-width:50rem}
.doc h1{font:600 clamp(1.75rem,1.1rem + 2.6vw,2.6rem)/1.15 var(--serif);margin:0 0 1rem}
.doc h2{margin-top:2.2rem}
.doc h3{font:600 1.15rem/1.3 var(--serif)}
.doc pre{background:var(--tint);padding:.7rem .9rem;border-radius:4px;overflow-x:auto}
.doc pre code{overflow-wrap:normal;white-space:pre}
.doc table{font-size:.86rem}
.doc td,.doc th{text-align:left}
.doc td code{overflow-wrap:normal}
.doc blockquote{margin:1rem 0;padding:.1rem 1rem;border-left:4px solid var(--rule-strong);color:var(--soft)}
.doc .scroll td{white-space:normal;text-align:left;min-width:0}
.with-contents{display:grid;grid-template-columns:minmax(0,50rem) minmax(0,15rem);gap:3rem}
.contents{font-size:.86rem;position:sticky;top:1rem;align-self:start;max-height:calc(100vh - 2rem);overflow-y:auto}
.contents ul{list-style:none;margin:.4rem 0;padding:0}
.contents li{margin:.3rem 0}
.contents li.deep{padding-left:1rem}
.contents a[aria-current]{font-weight:650;color:var(--ink)}
.reasons dt{font-weight:620;margin-top:.9rem}
.reasons.plain dt{font-weight:400;max-width:48rem}
.of-site #claims tbody th{min-width:11rem}
.reasons dd{margin:.15rem 0 0;color:var(--soft);font-size:.92rem;max-width:48rem}
@media screen and (max-width:960px){.with-contents{grid-template-columns:minmax(0,1fr);gap:1rem}.contents{position:static;max-height:none}}
@media screen and (max-width:640px){.choose{grid-template-columns:minmax(0,1fr)}.choose button{justify-self:start}.choices .count{margin-left:0}.of-site .doc .scroll table{min-width:0}}
@media screen and (max-width:640px){
  .of-site .scroll #compare-table{min-width:0}
  #compare-table,#compare-table thead,#compare-table tbody{display:block}
  #compare-table thead tr{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;padding-bottom:.5rem;border-bottom:1px solid var(--rule-strong)}
  #compare-table thead th{border:0;padding:0}
  #compare-table thead th:not(:has(button)){display:none}
  #compare-table tbody tr{display:grid;grid-template-columns:auto auto 1fr;gap:.1rem 1rem;padding:.6rem 0;border-bottom:1px solid var(--rule)}
  #compare-table tbody th,#compare-table tbody td{border:0;padding:0;min-width:0;text-align:left}
  #compare-table tbody th{grid-column:1/-1}
  #compare-table td:nth-of-type(1)::before{content:"A ";color:var(--soft)}
  #compare-table td:nth-of-type(2)::before{content:"B ";color:var(--soft)}
  #compare-table td:nth-of-type(4){order:2}
  #compare-table td:nth-of-type(5){order:3}
  #compare-table td:nth-of-type(6){order:4}
  #compare-table td:nth-of-type(6)::before{content:"noise ";color:var(--soft)}
  #compare-table td:nth-of-type(7){order:1;grid-column:1/-1}
}
@media print{.choose,.choices,.contents,#compare-more{display:none}.with-contents{display:block}.doc pre{white-space:pre-wrap}.doc pre code{white-space:pre-wrap}
  #compare-table th button{display:inline;text-decoration:none}
  #compare-table tbody th{min-width:0}
  #compare-table .range,#compare-table thead th:nth-child(6){display:none}
  .of-site .scroll{overflow:visible;background:none}}
`;
