// Charts as SVG: grouped and stacked bars, lines, meters. Each has its numbers as a table beside it.

import { el, svg } from "./dom.js";

const LEFT = 44, BOTTOM = 20, TOP = 8;

// Room for one label below the bars.
const LABEL = 62;

function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function frame({ width, height, tick, labels, described }, top) {
  const plot = height - BOTTOM - TOP;
  const y = (value) => TOP + plot - (plot * value) / top;
  const ticks = [0, top / 2, top].map((value) => [
    svg("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }),
    svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, tick(value)),
  ]);
  const every = Math.max(1, Math.ceil((labels.length * LABEL) / (width - LEFT)));
  const step = (width - LEFT) / Math.max(1, labels.length);
  const names = labels.map((label, number) => (number % every ? null : svg("text", { x: LEFT + step * (number + 0.5), y: height - 4, "text-anchor": "middle" }, label)));
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": described }, ticks, names);
  return { chart, y, step };
}

// series: [{name, style, values}], one value for each label.
// width: of the place where it goes, so that its texts are as large as all others.
export function bars(options) {
  const { labels, series, stacked = false, title, height } = options;
  const totals = labels.map((_, number) => {
    const values = series.map((each) => each.values[number]);
    return stacked ? values.reduce((sum, value) => sum + value, 0) : Math.max(0, ...values);
  });
  const { chart, y, step } = frame(options, ceiling(Math.max(0, ...totals)));
  const room = Math.min(step * 0.76, stacked ? 40 : 112);
  const thick = stacked ? room : room / series.length;
  labels.forEach((label, number) => {
    let base = 0;
    const start = LEFT + step * (number + 0.5) - room / 2;
    series.forEach((each, place) => {
      const value = each.values[number];
      if (!value) return;
      const bottom = stacked ? base : 0;
      base += value;
      const top = y(bottom + value);
      chart.append(svg("rect", { class: `bar ${each.style}`, x: start + (stacked ? 0 : place * thick), y: top, width: Math.max(1, thick - (stacked ? 0 : 1)), height: Math.max(1, y(bottom) - top), rx: 1 }));
    });
    chart.append(svg("rect", { class: "hit", x: LEFT + step * number, y: TOP, width: step, height: height - BOTTOM - TOP }, svg("title", {}, title(number))));
  });
  return chart;
}

// series: [{style, values}], null where there is none.
export function lines(options) {
  const { labels, series, title, height } = options;
  const top = ceiling(Math.max(0, ...series.flatMap((each) => each.values.filter((value) => value !== null))));
  const { chart, y, step } = frame(options, top);
  const x = (number) => LEFT + step * (number + 0.5);
  for (const each of series) {
    let path = "";
    let broken = true;
    each.values.forEach((value, number) => {
      if (value !== null) path += `${broken ? "M" : "L"}${x(number)} ${y(value)}`;
      broken = value === null;
    });
    chart.append(svg("path", { class: `path ${each.style}`, d: path }));
    each.values.forEach((value, number) => value !== null && chart.append(svg("circle", { class: `dot ${each.style}`, cx: x(number), cy: y(value), r: 2.5 })));
  }
  labels.forEach((label, number) => chart.append(svg("rect", { class: "hit", x: LEFT + step * number, y: TOP, width: step, height: height - BOTTOM - TOP }, svg("title", {}, title(number)))));
  return chart;
}

export function legend(items) {
  return el("ul", { class: "legend" }, items.map(([style, name]) => el("li", { class: style }, name)));
}

export function meter(name, part, text) {
  const filled = svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { class: "track", width: 100, height: 8, rx: 1 }), svg("rect", { class: "fill", width: Math.round(1000 * part) / 10, height: 8, rx: 1 }));
  return el("div", { class: "meter" }, el("span", {}, name), filled, el("span", { class: "num" }, text));
}

export function table(head, rows) {
  const cell = (tag, value, number) => el(tag, number ? { class: "num" } : {}, value instanceof Node ? value : String(value));
  return el(
    "div",
    { class: "table", tabindex: "0", role: "region", "aria-label": `Table: ${head.join(", ")}` },
    el("table", {}, el("thead", {}, el("tr", {}, head.map((value, number) => cell("th", value, number)))), el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value, number) => cell("td", value, number)))))),
  );
}

export function data(head, rows) {
  return el("details", { class: "data" }, el("summary", {}, "Show the numbers"), table(head, rows));
}
