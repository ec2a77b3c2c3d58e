"use strict";
// Adds up the page's facts as its reader asks: filters, tables, chart, search, CSV. Texts are set, never parsed.
const { page, facts, names, labels, periods, filters, cards, sections, format, texts } = JSON.parse(
  document.getElementById("data").textContent,
);
const PLACES = 18; // decimals of all sums, which are whole numbers of the smallest unit: exact
const ONE = 10n ** BigInt(PLACES);
const ALL = "all", WHOLE = "\0whole";
const DAY = 86_400_000; // milliseconds
const MOST_BARS = 92; // more days than that become months
const MOST_DAYS = 36_600; // a hundred years; beyond that a day is a mistake, and days without figures are left out

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// Numbers

const exact = (units, places = 0) => BigInt(units) * 10n ** BigInt(PLACES - places);

// An exact sum: of numbers as long as they are exact, and of integers of any size, which are slow. What is unknown is
// not added, and the sum of nothing else is unknown.
class Sum {
  small = 0;
  large = 0n;
  isKnown = false;
  add(units) {
    if (units === null) return;
    this.isKnown = true;
    const both = typeof units === "number" ? this.small + units : NaN;
    if (Number.isSafeInteger(both)) this.small = both;
    else {
      this.large += BigInt(this.small) + BigInt(units);
      this.small = 0;
    }
  }
  get units() {
    return this.isKnown ? this.large + BigInt(this.small) : null;
  }
}

// With at least and at most so many decimals, rounded half up.
const digits = (value, least, most, decimal, group) => {
  const unit = 10n ** BigInt(PLACES - most);
  const size = ((value < 0n ? -value : value) + unit / 2n) / unit;
  const text = String(size).padStart(most + 1, "0");
  const whole = text.slice(0, text.length - most).replace(/\B(?=(\d{3})+$)/g, group);
  let part = most ? text.slice(-most) : "";
  while (part.length > least && part.endsWith("0")) part = part.slice(0, -1);
  return (value < 0n && size > 0n ? "-" : "") + whole + (part && decimal + part);
};

const plain = (value) => digits(value, 0, PLACES, ".", "");
const written = (value, kind, least = format.places) => {
  if (kind === "percent") return format.percent.replace("#", digits(value * 100n, 0, 1, format.decimal, format.group));
  if (kind === "number") return digits(value, 0, PLACES, format.decimal, format.group);
  const money = digits(value, least, format.places, format.decimal, format.group);
  return money.replace(/^(-?)(.*)$/, (_, sign, size) => sign + format.money.replace("#", size));
};

// Facts

for (const set of Object.values(facts))
  set.values = set.values.map((column) => column.map((value) => (typeof value === "string" ? BigInt(value) : value)));

const chosen = { period: ALL };
const label = (name, code) => labels[name][code] ?? names[name][code];
const monthLabel = (key) => periods.find((period) => period.key === key)?.label ?? key;
const collator = new Intl.Collator(format.language);

// Whether each value of a dimension is chosen; nothing where all are.
const kept = (name, set) => {
  const period = periods.find(({ key }) => key === chosen.period);
  if (name === "period") return names.period.map((key) => key === (period?.key ?? ALL));
  if (name === "day") {
    if (!period || period.key === ALL) return null;
    return names.day.map((day) => day !== null && day >= period.first && day <= period.last);
  }
  if (!filters.includes(name)) return null;
  if (chosen[name]) return names[name].map((_, code) => code === Number(chosen[name]));
  return set.cube ? names[name].map((value) => value === WHOLE) : null;
};

// The numbers of the rows of a set that the filters leave; they stay the same until another choice.
let leftRows = new Map();
const left = (set) => {
  if (!leftRows.has(set)) {
    let rows = Array.from(set.values[0].keys());
    set.dimensions.forEach((name, at) => {
      const is = kept(name, set), codes = set.codes[at];
      if (is) rows = rows.filter((row) => is[codes[row]]);
    });
    leftRows.set(set, rows);
  }
  return leftRows.get(set);
};

// The figures of the rows that have the same key: for each key, with the first of its rows.
const sums = (set, figures, key) => {
  const rows = left(set), firsts = [], found = new Map();
  const groupOf = rows.map((row) => {
    const of = key(row);
    if (!found.has(of)) found.set(of, firsts.push(row) - 1);
    return found.get(of);
  });
  const totals = firsts.map(() => ({}));
  for (const name of new Set(figures.flatMap(({ of, over }) => [...of, ...over]))) {
    const at = set.measures.indexOf(name), column = set.values[at], added = firsts.map(() => new Sum());
    rows.forEach((row, place) => added[groupOf[place]].add(column[row]));
    added.forEach(({ units }, group) => (totals[group][name] = units === null ? null : exact(units, set.places[at])));
  }
  return firsts.map((row, group) => ({ row, values: figures.map((each) => quotient(each, totals[group])) }));
};

const quotient = ({ of, over }, total) => {
  const [value, base] = [of, over].map((names) => {
    const known = names.map((name) => total[name]).filter((sum) => sum !== null);
    return known.length ? known.reduce((one, other) => one + other) : null;
  });
  if (!over.length || value === null) return value;
  return base ? (value * ONE) / base : null;
};

// Each group of a section: what it is called, by what it is sorted, and its figures.
const groups = (section) => {
  const set = facts[section.facts];
  const months = names.day?.map((day) => day?.slice(0, 7) ?? "");
  const columns = section.by.map(({ name }) => {
    const codes = set.codes[set.dimensions.indexOf(name === "month" ? "day" : name)];
    if (name !== "month") return { name, codes, size: names[name].length };
    const keys = [...new Set(months)], places = new Map(keys.map((key, place) => [key, place]));
    return { name, codes: codes.map((code) => places.get(months[code])), size: keys.length };
  });
  const key = (row) => columns.reduce((sum, { codes, size }) => sum * size + codes[row], 0);
  const cell = (name, code, row) => {
    if (name === "day") return { text: label(name, code), sort: names.day[code] ?? "" };
    if (name === "month") {
      const month = months[set.codes[set.dimensions.indexOf("day")][row]];
      return { text: month ? monthLabel(month) : label("day", names.day.indexOf(null)), sort: month };
    }
    const text = label(name, code);
    return { text, sort: text };
  };
  return sums(set, section.figures, key).map(({ row, values }) => ({
    cells: columns.map(({ name, codes }) => cell(name, codes[row], row)), values,
  }));
};

// Why a section has no rows.
const nothing = (section) => (facts[section.facts].values[0].length ? texts.no_rows : texts.no_data);

// Charts

const drawn = new Map();

const draw = (place, section, rows) => {
  const at = section.figures.findIndex(({ name }) => name === section.chart);
  const days = new Map(rows.map(({ cells, values }) => [cells[0].sort, values[at] ?? 0n]));
  const keys = [...days.keys()].filter(Boolean).sort();
  let bars = [];
  if (keys.length) {
    const first = Date.parse(keys[0]), size = (Date.parse(keys.at(-1)) - first) / DAY + 1;
    const all = size > MOST_DAYS ? keys : Array.from({ length: size }, (_, at) => new Date(first + at * DAY).toISOString().slice(0, 10));
    bars = all.map((key) => [key, days.get(key) ?? 0n]);
    if (size > MOST_BARS) {
      const months = new Map();
      for (const [key, value] of bars) months.set(key.slice(0, 7), (months.get(key.slice(0, 7)) ?? 0n) + value);
      bars = [...months];
    }
  }
  const kind = section.figures[at].kind;
  const tick = new Intl.DateTimeFormat(format.language, {
    timeZone: "UTC", month: "short", ...(bars[0]?.[0].length > 7 ? { day: "numeric" } : { year: "2-digit" }),
  });
  const every = Math.ceil(bars.length / (place.clientWidth < 500 ? 4 : 8));
  const compact = new Intl.NumberFormat(format.language, { notation: "compact", maximumFractionDigits: 2 });
  drawn.get(place)?.detach();
  drawn.delete(place);
  place.replaceChildren();
  place.previousElementSibling.lastElementChild.textContent = bars[0]?.[0].length === 7 ? texts.by_month : texts.by_day;
  if (!bars.length) {
    place.append(element("p", { className: "nothing", textContent: nothing(section) }));
    return;
  }
  const chart = new Chartist.BarChart(
    place,
    { labels: bars.map(([key]) => key), series: [bars.map(([key, value]) => ({ meta: key, value: Number(value) / Number(ONE) }))] },
    {
      height: 300,
      chartPadding: { top: 16, right: 8, bottom: 4, left: 8 },
      axisX: { showGrid: false, labelInterpolationFnc: (key, at) => (at % every ? null : tick.format(new Date(key))) },
      axisY: { scaleMinSpace: 40, offset: 56, onlyInteger: kind === "number", labelInterpolationFnc: (value) => compact.format(value) },
    },
  );
  chart.on("draw", ({ type, element: bar, index, chartRect }) => {
    if (type !== "bar") return;
    const [key, value] = bars[index];
    const day = key.length > 7 ? label("day", names.day.indexOf(key) < 0 ? undefined : names.day.indexOf(key)) ?? key : monthLabel(key);
    bar.attr({ style: `stroke-width: ${Math.max(1, Math.min(28, (chartRect.width() / bars.length) * 0.7))}px` });
    bar.elem("title").text(`${day}: ${written(value, kind)}`);
  });
  drawn.set(place, chart);
};

// Sections

// Whether a spreadsheet splits at commas or at semicolons depends on its reader's language: no part may be a formula.
const spreadsheetSafe = (text) => text.replace(/(^|[,;\t])([\s\p{Cf}]*[=+\-@\uff1d\uff0b\uff0d\uff20])/gu, "$1'$2");
const quoted = (text) => (/[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
// As a spreadsheet of the reader's language expects it.
const delimiter = format.decimal === "," ? ";" : ",";
const cellOf = (value) => (value === null ? "" : digits(value, 0, PLACES, format.decimal, ""));

const show = (section) => {
  const place = document.getElementById(section.name);
  const head = place.querySelector("thead"), body = place.querySelector("tbody");
  const search = place.querySelector("input"), count = place.querySelector(".count");
  const titles = [...section.by, ...section.figures].map(({ title }) => title);
  const size = section.by.length;
  const ordered = section.figures.findIndex(({ name }) => name === section.order);
  let sorted = { at: ordered < 0 ? 0 : size + ordered, down: true };
  let all = [], shown = [];

  const compare = (one, other) => {
    const { at, down } = sorted;
    const [a, b] = [one, other].map(({ cells, values }) => (at < size ? cells[at].sort : values[at - size] ?? -(10n ** 60n)));
    const order = at < size ? collator.compare(a, b) : a < b ? -1 : a > b ? 1 : 0;
    if (order) return down ? -order : order;
    return one.cells.map(({ sort }, at) => collator.compare(sort, other.cells[at].sort)).find(Boolean) ?? 0;
  };

  const fill = () => {
    const asked = search.value.trim().toLocaleLowerCase(format.language);
    shown = all.filter(({ cells }) => cells.some(({ text }) => text.toLocaleLowerCase(format.language).includes(asked)));
    shown.sort(compare);
    const longest = shown.reduce((most, { values }) => (values[0] > most ? values[0] : most), 0n);
    body.replaceChildren(
      ...shown.map(({ cells, values }) =>
        element("tr", {},
          ...cells.map(({ text }, at) => {
            const named = element("bdi", { textContent: text });
            const isWord = section.by[at].name === "word";
            const inside = isWord ? element("button", { type: "button", className: "word" }, named) : named;
            if (isWord) inside.addEventListener("click", () => read(text));
            const cell = element(at ? "td" : "th", { className: section.by[at].name === "day" ? "day" : "" }, inside);
            if (!at) cell.scope = "row";
            return cell;
          }),
          ...values.map((value, at) => {
            const cell = element("td", { className: "figure" });
            if (value === null) return cell.append("–"), cell;
            const shown = written(value, section.figures[at].kind);
            cell.append(element("data", { value: plain(value), textContent: shown, className: shown.length > 16 ? "huge" : "" }));
            if (!at && longest > 0n && section.figures.length) {
              const bar = element("span", { className: "bar" });
              bar.style.width = `${Number(((value > 0n ? value : 0n) * 1000n) / longest) / 10}%`;
              cell.append(bar);
            }
            return cell;
          }),
        ),
      ),
    );
    if (!shown.length) {
      const cell = element("td", { textContent: nothing(section), colSpan: titles.length, className: "nothing" });
      body.append(element("tr", {}, cell));
    }
    count.textContent = (shown.length === 1 ? texts.row : texts.rows).replace("#", digits(exact(shown.length), 0, 0, "", format.group));
    for (const [at, cell] of [...head.rows[0].cells].entries())
      cell.ariaSort = at === sorted.at ? (sorted.down ? "descending" : "ascending") : "none";
  };

  head.append(element("tr", {}, ...titles.map((title, at) => {
    const button = element("button", { type: "button", textContent: title });
    button.addEventListener("click", () => {
      sorted = { at, down: sorted.at === at ? !sorted.down : at >= size };
      fill();
    });
    const cell = element("th", { scope: "col", className: at < size ? "" : "figure" }, button);
    return cell;
  })));
  search.addEventListener("input", fill);
  place.querySelector(".download").addEventListener("click", () => {
    const lines = shown.map(({ cells, values }) => [
      ...cells.map(({ text }) => quoted(spreadsheetSafe(text))), ...values.map(cellOf),
    ]);
    const text = [titles.map(quoted), ...lines].map((line) => line.join(delimiter) + "\r\n").join("");
    const link = element("a", { href: URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" })), download: `${page}-${section.name}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
  return () => {
    all = groups(section);
    fill();
    if (section.chart) draw(place.querySelector(".chart"), section, all);
  };
};

// Searches the questions for a word.
const read = (word) => {
  const search = document.querySelector("#questions input");
  search.value = word;
  search.dispatchEvent(new Event("input"));
  search.scrollIntoView({ block: "center" });
  search.focus();
};

// The page

const form = document.getElementById("filters");
for (const { key, label } of periods) form.elements.period.add(new Option(label, key));
for (const name of filters) {
  const options = names[name].map((key, place) => ({ key, place })).filter(({ key }) => key !== WHOLE);
  options.sort((one, other) => collator.compare(label(name, one.place), label(name, other.place)));
  for (const { place } of options) form.elements[name].add(new Option(label(name, place), place));
}

const shows = sections.map(show);
const figures = document.querySelectorAll(".cards dd");
const showAll = () => {
  for (const { name, value } of form.querySelectorAll("select")) chosen[name] = value;
  leftRows = new Map();
  cards.forEach((card, at) => {
    const [group] = sums(facts[card.facts], [card], () => 0);
    const value = group ? group.values[0] : card.over.length ? null : 0n;
    const text = value === null ? "–" : written(value, card.kind, 2);
    const data = element("data", { value: value === null ? "" : plain(value), textContent: text, className: text.length > 14 ? "huge" : "" });
    figures[at].replaceChildren(data);
  });
  for (const each of shows) each();
};
form.addEventListener("change", showAll);
form.addEventListener("reset", () => setTimeout(showAll));
form.addEventListener("submit", (event) => event.preventDefault());
showAll();
