"""The style sheet of the report: one column that reads well at 400 and at 1,280 pixels, light and dark.

What belongs here: CSS. What does not: content (`page`) and drawing (`charts`).
"""

STYLE_SHEET = """
:root { color-scheme: light dark;
  --paper:#fcfcfb; --card:#ffffff; --ink:#16181d; --soft:#5b6270; --rule:#e3e5e9; --grid:#eceef1;
  --c1:#2563c9; --c2:#c2570c; --c3:#0f8a6d; --c4:#8a3fbf; --c5:#b0892a; --c6:#c23a6b; --quiet:#9aa1ad;
  --high:#2563c9; --low:#c8402f; --good:#0f7a4f; --bad:#b3261e; --warn:#8a5a00; }
@media (prefers-color-scheme: dark) { :root {
  --paper:#121417; --card:#1a1d22; --ink:#e9ebef; --soft:#9aa3b2; --rule:#2b3038; --grid:#262a31;
  --c1:#6ea2ff; --c2:#ff9a52; --c3:#4cc9a4; --c4:#c08cf0; --c5:#dcb85a; --c6:#f27ba5; --quiet:#6d7583;
  --high:#4d86ea; --low:#e0614f; --good:#58c794; --bad:#ff7a6e; --warn:#e0b050; } }
* { box-sizing:border-box }
html { -webkit-text-size-adjust:100% }
body { margin:0; background:var(--paper); color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif }
main { max-width:1120px; margin:0 auto; padding:40px 24px 80px }
h1 { font-size:clamp(26px,4.5vw,40px); line-height:1.15; letter-spacing:-.02em; margin:0 0 10px; text-wrap:balance }
h2 { font-size:22px; line-height:1.25; letter-spacing:-.01em; margin:56px 0 6px }
h3 { font-size:16px; margin:28px 0 8px } h4 { font-size:14px; margin:0 0 6px; font-weight:600 }
p { max-width:70ch; margin:6px 0 14px } .soft, figcaption span, .note { color:var(--soft) }
.note { font-size:14px } code { white-space:nowrap; font:13.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
  background:var(--grid); padding:1px 5px; border-radius:4px }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(150px,1fr)); gap:12px; margin:26px 0 0; padding:0; list-style:none }
.tiles li { background:var(--card); border:1px solid var(--rule); border-radius:10px; padding:14px 16px }
.tiles b { display:block; font-size:26px; line-height:1.15; letter-spacing:-.02em; font-variant-numeric:tabular-nums }
.tiles span { color:var(--soft); font-size:13.5px }
.scroll { overflow-x:auto; border:1px solid var(--rule); border-radius:10px; background:var(--card); margin:14px 0 }
table { border-collapse:collapse; width:100%; font-size:14px; font-variant-numeric:tabular-nums }
th, td { padding:7px 12px; text-align:right; white-space:nowrap; border-bottom:1px solid var(--rule) }
tbody tr:last-child > * { border-bottom:0 } thead th { color:var(--soft); font-weight:600; font-size:12.5px; vertical-align:bottom }
th:first-child, td.text, th.text { text-align:left } tbody th { font-weight:500 } tr.strong > * { font-weight:650 }
.wide { display:inline-block; min-width:16em; max-width:34em; white-space:normal } .good { color:var(--good) } .bad { color:var(--bad) } .warn { color:var(--warn) }
.charts { display:grid; grid-template-columns:repeat(auto-fill,minmax(290px,1fr)); gap:14px; margin:14px 0 }
.narrow { grid-template-columns:repeat(auto-fill,minmax(245px,1fr)) }
.chart { margin:0; background:var(--card); border:1px solid var(--rule); border-radius:10px; padding:12px 12px 8px }
figcaption { display:flex; flex-wrap:wrap; justify-content:space-between; gap:0 10px; font-size:13.5px; margin-bottom:4px } figcaption span { font-size:12.5px }
svg { display:block; width:100%; height:auto } .grid { stroke:var(--grid); stroke-width:1 }
.tick { fill:var(--soft); font-size:10.5px; font-variant-numeric:tabular-nums }
.line { fill:none; stroke-width:2; stroke-linejoin:round; stroke-linecap:round }
.line-1 { stroke:var(--c1) } .line-2 { stroke:var(--c2) } .line-3 { stroke:var(--c3) } .line-4 { stroke:var(--c4) }
.line-5 { stroke:var(--c5) } .line-6 { stroke:var(--c6) } .line-quiet { stroke:var(--quiet); stroke-dasharray:4 4 } .line-zero { stroke:var(--soft); stroke-width:1 }
.legend { display:flex; flex-wrap:wrap; gap:4px 16px; list-style:none; margin:8px 0; padding:0; font-size:13.5px; color:var(--soft) }
.legend b { color:var(--ink); font-weight:600 } .swatch { display:inline-block; width:12px; height:12px; border-radius:3px; margin-right:6px; vertical-align:-1px }
.swatch.line-1,.piece-1 { background:var(--c1) } .swatch.line-2,.piece-2 { background:var(--c2) } .swatch.line-3,.piece-3 { background:var(--c3) }
.swatch.line-4,.piece-4 { background:var(--c4) } .swatch.line-5,.piece-5 { background:var(--c5) } .swatch.line-6,.piece-6 { background:var(--c6) }
.swatch.line-quiet { background:var(--quiet) } .swatch.bar { background:var(--c1) }
.bars { display:grid; grid-template-columns:minmax(0,auto) minmax(110px,1fr) auto; gap:7px 12px; align-items:center; margin:16px 0; font-size:14px }
.bar-row { display:grid; grid-column:1 / -1; grid-template-columns:subgrid; align-items:center }
.bar-name { overflow-wrap:anywhere } .bar-label { font-variant-numeric:tabular-nums; text-align:right; white-space:nowrap }
.bar-track { position:relative; height:18px; background:var(--grid); border-radius:4px }
.bar-track .bar { position:absolute; inset:0 auto 0 0; background:var(--c1); border-radius:4px }
.mark { position:absolute; top:-3px; bottom:-3px; width:3px; margin-left:-1.5px; border-radius:2px; outline:1.5px solid var(--paper) }
.mark-random, .swatch.mark-random { background:var(--quiet) } .mark-fixed, .swatch.mark-fixed { background:var(--c2) }
.stack { margin:0 0 18px } .stack-bar { display:flex; height:16px; border-radius:4px; overflow:hidden; gap:2px } .piece { display:block; min-width:1px }
.heat td { text-align:center; min-width:64px } .heat thead th { text-align:center } .heat th:first-child { text-align:left } .heat td.best { font-weight:700; box-shadow:inset 0 0 0 2px var(--ink) }
.heat td.unknown { color:var(--quiet) }
footer { margin-top:64px; border-top:1px solid var(--rule); padding-top:16px; color:var(--soft); font-size:14px }
@media (max-width:560px) { main { padding:24px 16px 56px } .bars { display:block }
  .bar-row { grid-template-columns:1fr auto; grid-template-areas:"name label" "track track"; gap:3px 10px; margin-bottom:12px }
  .bar-name { grid-area:name } .bar-label { grid-area:label } .bar-track { grid-area:track } }
@media print { body { background:#fff } .chart, .scroll, .tiles li { break-inside:avoid } }
"""  # noqa: E501 - one rule on a line reads better than one declaration
