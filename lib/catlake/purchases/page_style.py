"""How the page looks: its palette, its type, its style sheet."""

PAPER, CARD, INK, MUTED, LINE = "#f7f4ed", "#ffffff", "#1c2a28", "#55625e", "#e2dccf"
GREEN, GREEN_SOFT, CLAY, CREAM = "#0b6553", "#8fbfb0", "#b9482a", "#f4efe2"
BODY_FONT = "'Avenir Next', Avenir, 'Segoe UI', Inter, Cantarell, Ubuntu, 'Helvetica Neue', Arial, sans-serif"
DISPLAY_FONT = "Charter, 'Bitstream Charter', 'Sitka Text', Cambria, Georgia, 'DejaVu Serif', serif"

STYLE = f"""
:root {{
  --paper: {PAPER}; --card: {CARD}; --ink: {INK}; --muted: {MUTED}; --line: {LINE};
  --green: {GREEN}; --clay: {CLAY}; --cream: {CREAM};
  --tiny: 0.8125rem; --small: 0.9375rem; --body: 1.0625rem; --lead: clamp(1.125rem, 0.9rem + 1vw, 1.375rem);
  --title: clamp(1.375rem, 1.1rem + 1.1vw, 1.75rem); --hero: clamp(2rem, 1.3rem + 3.4vw, 3.5rem);
  --gap: clamp(1rem, 0.6rem + 1.8vw, 1.75rem);
}}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; }}
body {{
  margin: 0; background: var(--paper); color: var(--ink);
  font: 400 var(--body)/1.55 {BODY_FONT}; font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}}
header, main, footer {{ max-width: 74rem; margin: 0 auto; padding: 0 var(--gap); }}
header {{ padding-top: clamp(2rem, 1rem + 5vw, 4.5rem); }}
h1, h2, .figure {{ font-family: {DISPLAY_FONT}; line-height: 1.12; letter-spacing: -0.01em; margin: 0; }}
h1 {{ font-size: var(--hero); font-weight: 600; text-wrap: balance; }}
h2 {{ font-size: var(--title); font-weight: 600; }}
.eyebrow {{
  margin: 0 0 0.75rem; color: var(--green); font-size: var(--tiny); font-weight: 700;
  letter-spacing: 0.14em; text-transform: uppercase;
}}
.dates {{ margin: 0.75rem 0 0; color: var(--muted); font-size: var(--small); }}
.lead {{ margin: 1.5rem 0 0; max-width: 44rem; font-size: var(--lead); text-wrap: pretty; }}
.lead data, .lead time, .lead strong {{ font-weight: 650; }}
.lead data, .lead time {{ white-space: normal; }}
.notice {{
  margin: 1.5rem 0 0; padding: 0.75rem 1rem; max-width: 44rem; font-size: var(--small);
  background: #fbeadf; border-left: 4px solid var(--clay); border-radius: 0 0.5rem 0.5rem 0;
}}
.cards {{
  display: grid; grid-template-columns: 1.35fr repeat(3, 1fr); gap: var(--gap);
  list-style: none; margin: clamp(1.75rem, 1rem + 3vw, 3rem) 0 0; padding: 0;
}}
.card {{
  background: var(--card); border: 1px solid var(--line); border-radius: 1rem; padding: 1.125rem 1.25rem 1.25rem;
}}
.card .name {{ display: block; color: var(--muted); font-size: var(--small); }}
.card .figure {{ display: block; margin-top: 0.375rem; font-size: clamp(1.5rem, 1rem + 1.3vw, 1.875rem); }}
.card data {{ white-space: nowrap; }}
.card .huge {{ display: block; font-size: 1.25rem; line-height: 1.3; white-space: normal; }}
.card:first-child {{ background: var(--green); border-color: var(--green); color: #fff; }}
.card:first-child .name {{ color: #d9ece5; }}
section {{ margin-top: clamp(2.5rem, 1.5rem + 4vw, 4.5rem); }}
section > p {{ margin: 0.5rem 0 0; max-width: 44rem; color: var(--muted); font-size: var(--small); }}
.pair {{
  display: grid; grid-template-columns: minmax(0, 1.2fr) minmax(0, 1fr); gap: var(--gap);
  align-items: start; margin-top: 1.25rem;
}}
.panel {{ background: var(--card); border: 1px solid var(--line); border-radius: 1rem; padding: 1rem 1.125rem; }}
.plot {{ width: 100%; }}
.scroll {{ overflow: auto; max-height: var(--tall, none); padding: 0 1.125rem 0.5rem; }}
.scroll:focus-visible, summary:focus-visible {{ outline: 3px solid var(--green); outline-offset: 2px; }}
table {{ border-collapse: collapse; width: 100%; font-size: var(--small); line-height: 1.35; }}
caption {{ text-align: left; color: var(--muted); font-size: var(--tiny); padding: 0.875rem 0 0.25rem; }}
th, td {{ padding: 0.5rem 0 0.5rem 0.875rem; text-align: right; vertical-align: baseline; }}
th:first-child, td:first-child {{ padding-left: 0; text-align: left; }}
thead th {{
  position: sticky; top: 0; background: var(--card); color: var(--muted); font-size: var(--tiny); font-weight: 600;
  box-shadow: inset 0 -1px var(--line); white-space: nowrap; overflow-wrap: normal;
}}
tbody tr + tr > * {{ border-top: 1px solid #efeae0; }}
tbody th {{ font-weight: 500; min-width: 8rem; }}
.scroll data, .scroll time {{ white-space: nowrap; overflow-wrap: normal; }}
.scroll .huge {{ white-space: normal; overflow-wrap: anywhere; }}
.of {{ display: block; color: var(--muted); font-size: var(--tiny); font-weight: 400; }}
.more {{
  margin: 0; padding: 0.75rem 1.125rem; color: var(--muted); font-size: var(--tiny);
  border-top: 1px solid var(--line);
}}
.tabled {{ padding: 0; overflow: hidden; }}
.empty {{
  margin-top: clamp(1.75rem, 1rem + 3vw, 3rem); padding: clamp(2rem, 1rem + 5vw, 4rem); text-align: center;
  background: var(--card); border: 1px dashed #bdb49f; border-radius: 1rem;
}}
.empty p {{ max-width: 34rem; margin: 0.75rem auto 0; color: var(--muted); }}
.origin {{ margin: 1.25rem 0 0; padding: 0; list-style: none; display: grid; gap: 0.5rem; font-size: var(--small); }}
.origin li {{ padding-left: 1.25rem; position: relative; }}
.origin li::before {{
  content: ""; position: absolute; left: 0; top: 0.5em; width: 0.5rem; height: 0.5rem; border-radius: 50%;
  background: var(--green);
}}
footer {{ margin-top: 3rem; padding-top: 1.25rem; padding-bottom: 3rem; color: var(--muted); font-size: var(--tiny); }}
@media (max-width: 60rem) {{
  .cards {{ grid-template-columns: repeat(2, 1fr); }}
  .pair {{ grid-template-columns: minmax(0, 1fr); }}
}}
@media (max-width: 30rem) {{
  .card {{ padding: 0.875rem 1rem 1rem; }}
  .card:first-child {{ grid-column: 1 / -1; }}
  .card:first-child .figure {{ font-size: 2.25rem; }}
  .card:last-child {{ grid-column: 1 / -1; }}
  .panel {{ padding: 0.75rem; }}
  .tabled {{ padding: 0; }}
  table {{ font-size: var(--tiny); }}
  thead th, .of {{ font-size: 0.75rem; }}
  th, td {{ padding-left: 0.625rem; }}
  tbody th {{ min-width: 6rem; }}
  .scroll {{ padding: 0 0.875rem 0.5rem; }}
}}
@media print {{
  body {{ background: #fff; }}
  .scroll {{ max-height: none; overflow: visible; }}
  .panel, .card {{ break-inside: avoid; }}
}}
"""
