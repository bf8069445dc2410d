// Draws the journey: clicks, sessions, events, and every request to a platform.
import { amount, el, when } from "/inspector/static/dom.js";

const SOURCES = {
  start: "by /start",
  startgroup: "by adding the bot to a group",
  startapp: "by the Mini App",
  invite: "by an invite link",
  join_request: "by asking to join",
  manual: "by hand",
};

const CLICK_FIELDS = ["url", "fbclid", "fbc", "fbp", "ttclid", "ttp", "gclid", "ip", "user_agent", "referrer"];

/** One step of the journey. */
export function step(one) {
  return { click, session, event }[one.kind](one);
}

function frame(one, title, ...content) {
  const head = el("header", {}, title, el("time", {}, when(one.at * 1000)));
  return el("li", { class: `step ${one.kind}` }, head, ...content);
}

function click(one) {
  const { utm = {}, ids = {}, ...fields } = one.fields;
  const known = CLICK_FIELDS.filter((name) => fields[name]).map((name) => [name, fields[name]]);
  const rows = [...known, ...Object.entries(utm), ...Object.entries(ids)];
  const campaign = utm.utm_campaign ? [" of campaign ", el("b", {}, utm.utm_campaign)] : [];
  return frame(
    one,
    el("h3", {}, "Click", el("span", {}, campaign)),
    one.waits ? el("p", { class: "hint muted" }, "Press START in the chat: then it becomes a session.") : null,
    el("p", { class: "id mono muted" }, one.session_id),
    fold(`${one.key}:fields`, "What the landing page saw", el("dl", {}, rows.map(([name, text]) =>
      [el("dt", {}, name), el("dd", {}, text)]))),
  );
}

function session(one) {
  return frame(
    one,
    el("h3", {}, "Session", el("span", {}, ` ${SOURCES[one.source] ?? one.source}`)),
    el("p", { class: "id mono muted" }, one.session_id),
  );
}

function event(one) {
  const money = one.value === null ? null : el("b", { class: "money" }, amount(one.value, one.currency));
  const credit = one.session_id ? "credited to the session" : "organic: no session";
  return frame(
    one,
    el("h3", {}, one.name, money, el("span", {}, ` ${credit}`)),
    el("ul", { class: "deliveries" }, one.deliveries.map((delivery) => deliveryRow(one, delivery))),
    fold(`${one.key}:json`, "The event as it is stored", json(one.json)),
  );
}

function deliveryRow(one, delivery) {
  const answers = delivery.tries.map((each) =>
    el("span", { class: `answer ${each.status >= 200 && each.status < 300 ? "good" : "bad"}` }, each.status ?? "no answer"));
  const name = `${one.key}:${delivery.destination}`;
  return el("li", { "data-delivery": delivery.destination, "data-state": delivery.state },
    el("details", { "data-fold": name },
      el("summary", { "data-focus": name },
        el("span", { class: `dot ${mood(delivery)}`, "aria-hidden": "true" }),
        el("b", {}, delivery.title),
        el("span", { class: "fate" }, fate(delivery)),
        el("span", { class: "answers" }, answers)),
      delivery.reason && delivery.state !== "delivered" ? el("p", { class: "why" }, delivery.reason) : null,
      delivery.tries.length ? delivery.tries.map((each, index) => attempt(name, each, index)) :
        el("p", { class: "hint muted" }, "It was not asked yet.")));
}

/** Whether the last try has failed, as far as anybody knows. */
const failed = ({ tries, reason }) => Boolean(reason) || (tries.at(-1)?.status ?? 0) >= 300;

function mood({ state, tries, reason }) {
  if (state === "pending") return failed({ tries, reason }) ? "bad" : "waiting";
  return { delivered: "good", skipped: "off", dead: "bad" }[state];
}

function fate({ state, tries, due, reason }) {
  if (state === "delivered") return tries.length > 1 ? `delivered by try ${tries.length}` : "delivered";
  if (state === "skipped") return `skipped: ${reason}`;
  if (state === "dead") return "dead letter: given up";
  if (!tries.length) return "on its way";
  if (!failed({ tries, reason })) return "waits for an answer";
  return el("span", { "data-due": due }, "will be tried again");
}

function attempt(name, each, index) {
  const key = `${name}:${index}`;
  const title = `Try ${index + 1} at ${when(each.at * 1000)}: ${each.method} ${each.path}`;
  return el("section", { class: "try" },
    el("h4", {}, title, el("b", {}, ` → ${each.status ?? "no answer"}`)),
    fold(`${key}:request`, "Request", json(each.request)),
    each.answer === null ? null : fold(`${key}:answer`, "Answer", json(each.answer)));
}

function fold(key, title, content) {
  return el("details", { "data-fold": key, class: "fold" }, el("summary", { "data-focus": key }, title), content);
}

function json(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return el("pre", { tabindex: "0" }, text);
}
