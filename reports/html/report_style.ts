/** The style sheet for parts that only a report has: scoreboard, claims, folded lines, print. */
export const REPORT_STYLE = `
.nb{white-space:nowrap}
#comparison .nb,#comparison .scroll td{white-space:normal}
.scoreboard{display:flex;flex-wrap:wrap;gap:.2rem 1.5rem;margin:0 0 .8rem;font-size:.98rem;color:var(--soft)}
.score strong{color:var(--ink);font-weight:680}
.score .verdict-mark{vertical-align:-.1em;margin-right:.4em}
.masthead .verdict{font-size:clamp(1.45rem,1.05rem + 1.5vw,2.25rem);line-height:1.18;max-width:32em}
.deck{margin:.6rem 0 0;font-size:1.05rem;max-width:48em}
.pointers{display:flex;flex-wrap:wrap;align-items:baseline;gap:.2rem 1.6rem;margin:.9rem 0 0;font-size:.88rem}
.pointers summary{font-size:inherit}
.glossary{margin:0}
.glossary[open]{flex-basis:100%}
.sources{display:flex;flex-wrap:wrap;gap:.2rem 1.6rem;list-style:none;margin:0;padding:0;color:var(--soft)}
.hero{max-width:800px;margin:1.6rem 0 0}
.hero .figure{margin-bottom:.6rem}
.folded{margin:0;border-bottom:1px solid var(--rule);padding:.5rem 0}
.folded>summary{font-size:.92rem;color:var(--ink);width:auto}
.folded>summary::marker{color:var(--soft)}
.claims+.folded{border-top:0}
.claims{margin-bottom:0}
.claims thead th:nth-child(1){width:36%}
.claims thead th:nth-child(2){width:17%}
.claims thead th:nth-child(3){width:15%}
.claims thead th:nth-child(4){width:20%}
.command .long{overflow-wrap:anywhere}
nav:not(.site) ul{flex-wrap:wrap;row-gap:.15rem}
@media screen and (max-width:760px){
  nav:not(.site) ul{flex-wrap:nowrap;padding-right:3rem;mask-image:linear-gradient(90deg,#000 calc(100% - 3rem),transparent)}
  .claims tr,.claims tbody tr{display:flex;flex-direction:column}
  .claims td{display:grid}
  .claims .verdict-cell{order:-1;display:block;margin:0}
  .claims .verdict-cell::before{content:none}
  .claims td[data-label=Here]:has(.why)::before{content:none}
  .claims td[data-label=Here]:has(.why){display:block}
}
@media print{
    .pointers,.screen-only,.rerun{display:none}
  .drawing.wide:not(.half){max-width:556px!important}
  .claims .verdict-cell,.scroll td,.scroll .nb,.number{white-space:normal}
  details.folded{display:block;padding:.25rem 0}
  .folded>summary{font-size:8.5pt}
  .masthead .verdict{font-size:18pt}
  .hero{max-width:none;margin-top:.5rem}
  thead{display:table-header-group}
  tbody tr:first-child{break-before:avoid}
  caption{break-after:avoid}
  h2,h3{break-after:avoid;break-inside:avoid}
  .spread>div:first-child{break-before:avoid}
  p{orphans:3;widows:3}
}
`;
