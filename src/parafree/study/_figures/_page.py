"""The page around the figures: its style, its script and its skeleton.

A content security policy forbids the page to ask the network for anything, whatever a study's
texts may hold. The figures are plain data in the page; the script draws them and lends them the
colours of the reader's theme.
"""

from __future__ import annotations

from string import Template

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1c2430; --soft: #5b6676; --line: #e3e7ed;
  --grid: #eceff3; --accent: #2f73c9; --best: #b87503; --bad: #c0392b; --chip: #eef2f7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --card: #1a2029; --ink: #e6eaf0; --soft: #98a4b5; --line: #2a323e;
    --grid: #262e39; --accent: #7db4f5; --best: #f2b544; --bad: #ff8375; --chip: #232b36;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 72px; }
header { margin-bottom: 28px; }
.kind { color: var(--soft); font-size: 13px; letter-spacing: .04em; margin: 0 0 4px; }
h1 { font-size: clamp(26px, 5vw, 38px); line-height: 1.15; margin: 0; letter-spacing: -.02em;
     overflow-wrap: anywhere; }
h2 { font-size: 20px; letter-spacing: -.01em; margin: 0 0 4px; }
h3 { font-size: 15px; margin: 0; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
p.how { color: var(--soft); margin: 0 0 14px; font-size: 14.5px; max-width: 76ch; }
p.note { color: var(--soft); font-size: 13px; margin: 10px 0 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
          padding: 24px 26px; margin: 0 0 22px; }
.hero { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 28px 48px; }
.value { font-size: clamp(34px, 7vw, 52px); font-weight: 650; letter-spacing: -.03em;
         line-height: 1.1; margin: 6px 0 2px; color: var(--best);
         font-variant-numeric: tabular-nums; }
.value small { font-size: .45em; font-weight: 500; color: var(--soft); letter-spacing: 0;
               white-space: nowrap; }
.eyebrow { color: var(--soft); font-size: 13.5px; margin: 0; overflow-wrap: anywhere; }
.about { color: var(--soft); font-size: 14px; margin: 6px 0 0; }
dl.config { margin: 0; display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 0;
            align-content: start; }
dl.config > div { display: contents; }
dl.config dt, dl.config dd { padding: 7px 0; border-bottom: 1px solid var(--line); margin: 0; }
dl.config > div:last-child > * { border-bottom: 0; }
dl.config dt { font-weight: 550; font-size: 14.5px; }
dl.config dd { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
dl.config dd span { color: var(--soft); font-size: 13px; }
dl.config dt span { display: block; color: var(--soft); font-weight: 400; font-size: 12.5px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr));
         gap: 16px 12px; margin: 24px 0 0; padding: 22px 0 0; border-top: 1px solid var(--line); }
.tiles div b { display: block; font-size: 21px; font-weight: 600; letter-spacing: -.01em;
               font-variant-numeric: tabular-nums; }
.tiles div span { color: var(--soft); font-size: 13px; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 26px; }
.slices { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr));
          gap: 22px 26px; }
.slices h3 span { color: var(--soft); font-weight: 400; font-size: 12.5px; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
.figure { width: 100%; min-height: 60px; }
.failed { color: var(--bad); }
.legend { display: flex; flex-wrap: wrap; gap: 6px 8px; margin: 0 0 12px; padding: 0;
          list-style: none; font-size: 12.5px; color: var(--soft); }
.legend li { background: var(--chip); border-radius: 99px; padding: 2px 11px 2px 9px; }
.legend i { display: inline-block; width: 9px; height: 9px; border-radius: 50%;
            margin-right: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px;
        font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 10px; border-bottom: 1px solid var(--line);
         white-space: nowrap; }
th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
td.text { white-space: normal; min-width: 220px; overflow-wrap: anywhere; }
tr.best td { color: var(--best); font-weight: 600; }
tr:last-child td { border-bottom: 0; }
pre { background: var(--chip); border-radius: 10px; padding: 14px 16px; overflow-x: auto;
      font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; margin: 10px 0 0; }
details summary { cursor: pointer; color: var(--accent); font-size: 14px; }
.wide { grid-column: 1 / -1; }
footer { color: var(--soft); font-size: 13px; margin-top: 30px; overflow-wrap: anywhere; }
@media (max-width: 720px) {
  main { padding: 22px 12px 48px; }
  section { padding: 18px 14px; border-radius: 12px; }
  .hero, .pair { grid-template-columns: minmax(0, 1fr); }
  .slices { grid-template-columns: minmax(0, 1fr); }
}
@media print { section { break-inside: avoid; } body { background: #fff; } }
"""

SCRIPT = """
(function () {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const settings = {responsive: true, displaylogo: false, displayModeBar: false};
  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }
  function theme(layout) {
    const change = {"font.color": colour("--ink"), "hoverlabel.bgcolor": colour("--card"),
      "hoverlabel.bordercolor": colour("--line"), "hoverlabel.font.color": colour("--ink")};
    for (const axis of Object.keys(layout)) {
      if (!/^[xy]axis/.test(axis)) continue;
      change[axis + ".gridcolor"] = colour("--grid");
      change[axis + ".tickfont.color"] = colour("--soft");
      change[axis + ".title.font.color"] = colour("--soft");
    }
    (layout.annotations || []).forEach(function (note, i) {
      if (note.name === "tick") change["annotations[" + i + "].bgcolor"] = colour("--card");
    });
    return change;
  }
  let drawn = 0;
  const slots = [];
  for (const slot of document.querySelectorAll(".figure[data-figure]")) {
    const figure = figures[slot.dataset.figure];
    // One finger scrolls the page; zooming stays for the mouse.
    if (touch) figure.layout.dragmode = false;
    slots.push(slot);
    try {
      Plotly.newPlot(slot, figure.data, figure.layout, settings).then(function () {
        return Plotly.relayout(slot, theme(figure.layout));
      }).then(function () {
        drawn += 1;
        document.documentElement.dataset.drawn = drawn;
      }).catch(fail);
    } catch (error) { fail(error); }
    function fail(error) {
      document.documentElement.dataset.error = String(error);
      slot.classList.add("failed");
      slot.textContent = "This figure could not be drawn: " + error;
    }
  }
  dark.addEventListener("change", function () {
    for (const slot of slots) if (slot.layout) Plotly.relayout(slot, theme(slot.layout));
  });
})();
"""

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="generator" content="parafree">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
$body
<noscript><p>The figures need JavaScript; the tables do not.</p></noscript>
</main>
<script>$plotly</script>
<script type="application/json" id="figures">$figures</script>
<script>$script</script>
</body>
</html>
""")
