// The reports: funnel, deliveries and their age, coverage with Meta's own judgement beside it.

import { get } from "./api.js";
import { bars, data, legend, lines, meter, table } from "./charts.js";
import { amount, byId, count, el, exactly, lasting, share, shortDay, when } from "./dom.js";

const STEPS = [["sessions", "Sessions", "s1"], ["REG", "REG", "s2"], ["FTD", "FTD", "s3"], ["DEP", "DEP", "s4"]];
const SALES = ["Purchase", "Purchase", "s5"];
const STATES = [["delivered", "Delivered"], ["skipped", "Skipped"], ["dead", "Dead"], ["pending", "Pending"]];
const KEYS = { fbc: "fbc", fbp: "fbp", ttclid: "ttclid", em: "E-mail (em)", ph: "Phone (ph)", ip: "Address", user_agent: "Browser" };

const panel = (half, title, sub, ...content) => el("section", { class: `panel card${half ? " half" : ""}` }, el("h2", {}, title), el("p", { class: "sub" }, sub), content);
const money = (value) => Object.entries(value).map(([currency, sum]) => amount(sum, currency)).join(" + ") || "–";
const compact = (value) => new Intl.NumberFormat("en", { notation: "compact" }).format(value);
const dayOf = (iso) => shortDay(`${iso}T12:00:00`);

function funnelPanels(report, width, half) {
  const { total, by_day: days, by_source: sources } = report.funnel;
  const steps = total.counts.Purchase ? [...STEPS, SALES] : STEPS;
  const none = !steps.some(([key]) => total.counts[key]);
  if (none) return [panel(false, "Funnel", "There is no session and no event in this period.")];
  const cards = STEPS.map(([key, name, style], number) => {
    const before = number ? total.counts[STEPS[number - 1][0]] : 0;
    const told = number === 0 ? (report.lists_touches ? "touches of users" : "this session store lists none") : number === 3 ? `${money(total.value)}` : `${share(total.counts[key], before)} of ${STEPS[number - 1][1]}`;
    return el("div", { class: `step ${style}` }, el("small", {}, name), el("b", {}, count(total.counts[key])), el("small", {}, told));
  });
  const head = ["Day", ...steps.map(([, name]) => name), "Value"];
  const rows = (list, label) => list.map((row) => [label(row.label), ...steps.map(([key]) => count(row.counts[key])), money(row.value)]);
  const chart = bars({
    width,
    height: 220,
    labels: days.map((row) => dayOf(row.label)),
    series: steps.map(([key, name, style]) => ({ name, style, values: days.map((row) => row.counts[key]) })),
    tick: compact,
    title: (number) => `${dayOf(days[number].label)}\n${steps.map(([key, name]) => `${name} ${count(days[number].counts[key])}`).join("\n")}\n${money(days[number].value)}`,
    described: `Sessions, registrations and deposits by day: ${steps.map(([key, name]) => `${name} ${total.counts[key]}`).join(", ")} in all`,
  });
  const bySource = bars({
    width: half,
    height: 150,
    labels: sources.map((row) => row.label),
    series: steps.map(([key, name, style]) => ({ name, style, values: sources.map((row) => row.counts[key]) })),
    tick: compact,
    title: (number) => `${sources[number].label}\n${steps.map(([key, name]) => `${name} ${count(sources[number].counts[key])}`).join("\n")}`,
    described: `Sessions, registrations and deposits by source: ${sources.map((row) => row.label).join(", ")}`,
  });
  return [
    panel(false, "Funnel by day", "Sessions, registrations, first and later deposits; the value is that of deposits and purchases.", el("div", { class: "steps" }, cards), chart, legend(steps.map(([, name, style]) => [style, name])), data(head, rows(days, dayOf))),
    panel(true, "Funnel by source", "Where the session of the event came in. Organic events have none.", bySource, legend(steps.map(([, name, style]) => [style, name])), table(["Source", ...head.slice(1)], rows(sources, String))),
  ];
}

function merged(flows) {
  const all = Object.values(flows);
  if (!all.length) return [];
  return all[0].map((first, number) => {
    const here = all.map((each) => each[number]);
    const counts = Object.fromEntries(STATES.map(([state]) => [state, here.reduce((sum, flow) => sum + flow.counts[state], 0)]));
    return { start: first.start, counts, median: worst(here, "median"), high: worst(here, "high") };
  });
}

function worst(flows, age) {
  const ages = flows.map((flow) => flow[age]).filter((value) => value !== null);
  return ages.length ? Math.max(...ages) : null;
}

function deliveryPanel(report, width, chosen, choose) {
  const names = Object.keys(report.flows);
  if (!names.length) return [panel(true, "Deliveries", "Nothing was to be delivered in this period.")];
  const name = names.includes(chosen) ? chosen : "";
  const flows = name ? report.flows[name] : merged(report.flows);
  const hourly = flows.length > 1 && flows[1].start - flows[0].start < 4e6;
  const label = (flow) => (hourly ? when(flow.start).slice(-8, -3) || when(flow.start) : shortDay(flow.start));
  const labels = flows.map(label);
  const select = el("select", { id: "flow", "aria-label": "Destination of the charts", onchange: (event) => choose(event.target.value) }, el("option", { value: "" }, "All destinations"), names.map((each) => el("option", { value: each, selected: each === name }, each)));
  const told = (flow) => STATES.map(([state, word]) => `${word} ${count(flow.counts[state])}`).join("\n");
  const rows = flows.map((flow, number) => [labels[number], ...STATES.map(([state]) => count(flow.counts[state])), lasting(flow.median), lasting(flow.high)]);
  return [
    panel(
      true,
      "Deliveries over time",
      "By when they ended; pending ones by when they were stored.",
      el("div", { class: "field" }, select),
      bars({ width, height: 180, labels, stacked: true, series: STATES.map(([state]) => ({ style: `s${state}`, values: flows.map((flow) => flow.counts[state]) })), tick: compact, title: (number) => `${labels[number]}\n${told(flows[number])}`, described: `Deliveries over time, ${name || "all destinations"}` }),
      legend(STATES.map(([state, word]) => [`s${state}`, word])),
      data(["Time", ...STATES.map(([, word]) => word), "Median age", "95 %"], rows),
    ),
    panel(
      true,
      "Age at delivery",
      name ? "From the event to its delivery: in the middle, and of 95 in 100 (dashed)." : "From the event to its delivery, of the slowest destination: in the middle, and of 95 in 100 (dashed).",
      lines({ width, height: 228, labels, series: [{ style: "high", values: flows.map((flow) => flow.high) }, { style: "median", values: flows.map((flow) => flow.median) }], tick: lasting, title: (number) => `${labels[number]}\nmedian ${lasting(flows[number].median)}\n95 % ${lasting(flows[number].high)}`, described: `Age at delivery over time, ${name || "the slowest destination"}` }),
    ),
  ];
}

function coveragePanel(report) {
  const { total, by_name: names } = report.coverage;
  if (!total.events) return panel(true, "Coverage", "There is no event in this period.");
  const keys = Object.keys(KEYS);
  return panel(
    true,
    "Coverage",
    `What ad platforms match people by, as a share of ${count(total.events)} events.`,
    keys.map((key) => meter(KEYS[key], total.counts[key] / total.events, share(total.counts[key], total.events))),
    el("details", { class: "data" }, el("summary", {}, "By event"), table(["Event", "Events", ...keys], Object.entries(names).map(([name, each]) => [name, count(each.events), ...keys.map((key) => share(each.counts[key], each.events))]))),
  );
}

function qualityPanels(qualities) {
  return Object.entries(qualities).map(([name, told]) => {
    const title = `Match quality of ${name}`;
    if (told.error) {
      const why = told.refused ? "The token may not read Meta's judgement: it needs ads_read with ads_management or business_management." : "Meta does not answer.";
      return panel(true, title, why, el("p", { class: "reason" }, told.error));
    }
    if (!told.events.length) return panel(true, title, "Meta has judged nothing yet. It judges events of websites only.");
    const rows = told.events.map((each) => [each.name, each.score === null ? "–" : each.score.toFixed(1), Object.entries(each.coverage).map(([key, part]) => `${key} ${Math.round(part)} %`).join(", ") || "–"]);
    return panel(true, title, "Meta's own score, 0 to 10; 6 and above is good.", table(["Event", "Score", "Keys"], rows));
  });
}

export class Reports {
  constructor(failed) {
    this.failed = failed;
    this.place = byId("reports");
    this.chosen = "";
    this.asked = 0;
    byId("days").addEventListener("change", () => this.load());
    let width = 0;
    new ResizeObserver(() => {
      if (!this.report || this.place.clientWidth === width) return;
      width = this.place.clientWidth;
      this.draw();
    }).observe(this.place);
  }

  async load() {
    const asked = (this.asked += 1);
    byId("report-note").textContent = "Counting…";
    if (!this.place.childElementCount) this.place.append(el("div", { class: "panel state" }, el("strong", {}, "Counting…"), "Sessions, events and deliveries are being read."));
    try {
      const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
      const report = await get("report", { days: byId("days").value, zone });
      if (asked !== this.asked) return;
      this.report = report;
      this.draw();
      this.qualities = await get("quality");
      if (asked === this.asked) this.draw();
    } catch (error) {
      if (asked !== this.asked) return;
      byId("report-note").textContent = "";
      this.place.replaceChildren(el("div", { class: "panel state" }, el("strong", {}, "The reports could not be made"), error.message, el("p", {}, el("button", { type: "button", onclick: () => this.load() }, "Try again"))));
      this.failed(error);
    }
  }

  draw() {
    const report = this.report;
    const note = report.complete ? "" : " Only the latest 200,000 are counted.";
    byId("report-note").textContent = `As of ${exactly(report.until).slice(11, 19)} UTC.${note}`;
    const choose = (name) => {
      this.chosen = name;
      this.draw();
      byId("flow").focus();
    };
    const edges = matchMedia("(max-width: 720px)").matches ? 20 : 32;
    const whole = Math.max(240, this.place.clientWidth - edges - 34);
    const half = matchMedia("(max-width: 900px)").matches ? whole : Math.max(240, (whole - 46) / 2);
    this.place.replaceChildren(...funnelPanels(report, whole, half), coveragePanel(report), ...deliveryPanel(report, half, this.chosen, choose), ...qualityPanels(this.qualities || {}));
  }
}
