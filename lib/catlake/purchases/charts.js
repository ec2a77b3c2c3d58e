"use strict";
// Draws the charts. The page's data has their figures and texts; their looks are here and in the style sheet.
const DAY = 86_400_000; // milliseconds
const { locale, charts } = JSON.parse(document.getElementById("charts").textContent);
const font = getComputedStyle(document.body).fontFamily;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const bars = (best, more) => ({
  type: "bar",
  hovertemplate: "%{customdata}<extra></extra>",
  marker: { color: best.map((is) => colour(is ? "clay" : "green")), cornerradius: 4 },
  ...more,
});

const layout = (more) => ({
  font: { family: font, size: 13, color: colour("ink") },
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  showlegend: false,
  dragmode: false,
  hoverlabel: {
    bgcolor: colour("ink"),
    bordercolor: colour("ink"),
    font: { family: font, size: 13, color: colour("card") },
    align: "left",
  },
  ...more,
});

const drawn = {
  // A bar for each day; the best day has its own colour.
  days({ days, sizes, hovers, best_day, currency, height }) {
    const [first, last] = [days[0], days.at(-1)].map((day) => Date.parse(day));
    const span = (last - first) / DAY;
    // At least a week, so that few bars do not look like slabs. Midnight is a bar's middle.
    const margin = (Math.max(0, (6 - span) / 2) + 0.6) * DAY;
    const moment = (time) => new Date(time).toISOString().slice(0, 19);
    const most = Math.max(...sizes.map(Math.abs));
    const axis = { ticklabelstandoff: 6, automargin: true, tickfont: { color: colour("muted") }, fixedrange: true };
    return [
      // Without a width, a lone day would be as broad as the chart.
      bars(days.map((day) => day === best_day), { x: days, y: sizes, customdata: hovers, width: 0.78 * DAY }),
      layout({
        height,
        margin: { l: 8, r: 8, t: 12, b: 8 },
        xaxis: {
          ...axis,
          type: "date",
          range: [moment(first - margin), moment(last + margin)],
          tickformat: "%-d %b\n%Y",
          tickangle: 0,
          ticks: "",
          showgrid: false,
          // Whole days only: a tick at noon would repeat its day. Every second one: a phone has room for no more.
          ...(span < 7 ? { tick0: best_day, dtick: 2 * DAY } : { nticks: 5 }),
        },
        yaxis: {
          ...axis,
          nticks: 5,
          tickprefix: currency,
          tickformat: most < 10 ? ",.2f" : most < 1e6 ? ",.0f" : ".3~s",
          gridcolor: colour("line"),
          zerolinecolor: colour("muted"),
          zerolinewidth: 1,
        },
      }),
    ];
  },
  // Thin bars, each below its own name and value: so a long name takes no width from the bars.
  ranking({ names, tenants, values, sizes, hovers, height }) {
    const small = (text) => `  <span style='color:${colour("muted")};font-size:11px'>${text}</span>`;
    const label = (text, place, x, xanchor) => ({
      text, x, xanchor, xref: "paper", y: place - 0.22, yref: "y", yanchor: "bottom", showarrow: false, borderpad: 0,
    });
    const labels = names.flatMap((name, place) => [
      label(tenants ? name + small(tenants[place]) : name, place, 0, "left"),
      label(`<b>${values[place]}</b>`, place, 1, "right"),
    ]);
    const places = [...sizes.keys()];
    const hidden = { visible: false, fixedrange: true };
    return [
      bars(places.map((place) => place === 0), { x: sizes, y: places, orientation: "h", width: 0.3, customdata: hovers }),
      layout({
        height,
        margin: { l: 0, r: 0, t: 8, b: 8 },
        annotations: labels,
        xaxis: hidden,
        yaxis: { ...hidden, range: [sizes.length - 0.7, -0.75] },
      }),
    ];
  },
};

Plotly.register({ moduleType: "locale", dictionary: {}, ...locale });
for (const [place, { kind, ...chart }] of Object.entries(charts)) {
  const [data, form] = drawn[kind](chart);
  Plotly.newPlot(place, [data], form, { locale: locale.name, responsive: true, displayModeBar: false });
}
