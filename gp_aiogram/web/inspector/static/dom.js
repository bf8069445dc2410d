// Makes elements and writes values as people read them. Texts are set as text, never as HTML.

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  put(element, attributes);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  put(element, attributes);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

function put(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
}

export const byId = (id) => document.getElementById(id);

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const whole = new Intl.NumberFormat("en");
const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 8 });

export function when(ms) {
  const moment = new Date(ms);
  const time = clock.format(moment);
  return moment.toDateString() === new Date().toDateString() ? time : `${day.format(moment)} ${time.slice(0, 5)}`;
}

export const exactly = (ms) => new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");
export const shortDay = (ms) => day.format(new Date(ms));
export const count = (number) => whole.format(number);

export function amount(value, currency) {
  return value === null || value === undefined ? "" : `${money.format(value)} ${currency || ""}`.trim();
}

export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds === 0) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export const share = (part, total) => (total ? `${((100 * part) / total).toFixed(part && part / total < 0.1 ? 1 : 0)} %` : "–");

const MARKS = { delivered: "✓", pending: "…", dead: "✕", skipped: "–" };

// State is told by a mark and a word as well: not everybody tells the colours apart.
export function chip(state, text = state) {
  return el("span", { class: "chip", "data-state": state, title: `${text}: ${state}` }, el("span", { "aria-hidden": "true" }, MARKS[state] || "•"), el("span", {}, text));
}

export function toast(text) {
  const shown = el("div", { class: "toast" }, text);
  byId("toasts").append(shown);
  setTimeout(() => shown.remove(), 5000);
}
