"use strict";
// Draws the charts whose figures the page holds as JSON, in the page's own font and language.
const { locale, charts } = JSON.parse(document.getElementById("charts").textContent);
const font = getComputedStyle(document.body).fontFamily;
Plotly.register({ moduleType: "locale", dictionary: {}, ...locale });
for (const [place, chart] of Object.entries(charts)) {
  chart.layout.font.family = font;
  chart.layout.hoverlabel.font.family = font;
  Plotly.newPlot(place, chart.data, chart.layout, { locale: locale.name, responsive: true, displayModeBar: false });
}
