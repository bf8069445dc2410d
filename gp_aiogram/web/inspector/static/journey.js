// Shows what happened to one event: click, sessions, the event, and what each destination got.

import { amount, chip, el, exactly, lasting, when } from "./dom.js";

function facts(pairs) {
  const given = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" }, given.map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
}

function step(title, state, time, ...content) {
  return el(
    "li",
    state ? { "data-state": state } : {},
    el("div", { class: "line" }, el("h3", {}, title), state ? chip(state) : null, time ? el("span", { class: "muted", title: exactly(time) }, when(time)) : null),
    content,
  );
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

function block(label, value) {
  return el("pre", { tabindex: "0", role: "region", "aria-label": label }, value);
}

function payload(to, told) {
  if (told === null || told === undefined) return el("p", { class: "muted" }, "This destination is not configured here: what it gets is not known.");
  if (told.refusal) return el("p", { class: "reason" }, `Nothing is sent: ${told.refusal}`);
  const parts = told.requests.map((request) => {
    const head = [`${request.method} ${request.url}`, ...Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`)].join("\n");
    return block(`Request to ${to}`, request.body === null ? head : `${head}\n\n${text(request.body)}`);
  });
  if (told.item !== null) parts.push(block(`Payload for ${to}`, text(told.item)));
  return el("details", { class: "payload" }, el("summary", {}, told.requests.length ? "Request, as it is sent" : "Payload"), parts);
}

function tries(known) {
  const rows = known.map((each) => {
    const status = each.status === null || each.reason.includes(`HTTP ${each.status}`) ? "" : `, HTTP ${each.status}`;
    return [`Try ${each.number}`, `${when(each.at)}, ${each.outcome}${status}: ${each.reason}`];
  });
  const second = known.length > 1 ? known[1].number : 2;
  if (second > 2) rows.splice(1, 0, [second === 3 ? "Try 2" : `Tries 2 to ${second - 1}`, "not kept"]);
  return rows;
}

function delivery(each, actions) {
  const isPending = each.state === "pending";
  const waits = { refused: "paused", failing: "failing", throttled: "throttled" }[(actions.states || {})[each.to]];
  const due = waits && isPending ? `when ${each.to} is called again: it is ${waits}` : isPending ? (each.due > Date.now() ? `in ${lasting((each.due - Date.now()) / 1000)}, ${when(each.due)}` : "now") : null;
  const buttons = each.state === "dead" && actions.replay
    ? el(
        "div",
        { class: "actions" },
        el("button", { type: "button", class: "small primary", onclick: () => actions.replay(each.to) }, "Replay"),
        el("button", { type: "button", class: "small danger", onclick: () => actions.purge(each.to) }, "Purge"),
      )
    : null;
  return step(
    each.to,
    each.state,
    isPending ? null : each.due,
    facts([
      ["Failed tries", each.attempts || null],
      ...tries(each.tries || []),
      ["Next try", due],
      ["Batch of", each.cap ? `at most ${each.cap}` : null],
      ["Doubt", each.maybe ? "it may have been delivered although no answer said so" : null],
      ...Object.entries(each.receipt || {}).map(([name, value]) => [name, text(value)]),
    ]),
    each.reason ? el("p", { class: "reason" }, each.reason) : null,
    each.payload?.refusal && each.payload.refusal === each.reason ? null : payload(each.to, each.payload),
    buttons,
  );
}

function clicked(click) {
  const at = click.at ? Date.parse(click.at) : null;
  const known = Object.entries(click).filter(([name]) => !["at", "utm", "ids"].includes(name));
  return step("Click", null, at, facts([...Object.entries(click.utm || {}), ...known, ...Object.entries(click.ids || {})]));
}

// told: as the server's event/… answers. actions, each of which may be missing: replay(destination),
// purge(destination), and states, by the names of destinations.
export function journey(told, actions = {}) {
  const sessions = told.touches.slice(-5).map((touch) =>
    step(`Session ${touch.session}`, null, touch.at, facts([["Source", touch.source], ["Bot", touch.bot], ["Payload", touch.payload === touch.session ? null : touch.payload]])));
  const traits = Object.entries(told.traits).flatMap(([platform, fields]) => Object.entries(fields).map(([name, value]) => [`${platform} ${name}`, value]));
  const data = Object.keys(told.user_data).length ? block("User data", text(told.user_data)) : null;
  return el(
    "ol",
    { class: "journey" },
    told.click ? clicked(told.click) : null,
    sessions,
    step(
      "Event",
      null,
      told.at,
      facts([
        ["Id", told.id],
        ["User", told.user],
        ["Bot", told.bot_username ? `@${told.bot_username}` : told.bot],
        ["Session", told.session || "none (organic)"],
        ["Value", amount(told.value, told.currency)],
        ["Stored", exactly(told.accepted)],
        ...traits,
      ]),
      data,
    ),
    told.deliveries.map((each) => delivery(each, actions)),
    told.deliveries.length ? null : step("No destination", null, null, el("p", { class: "muted" }, "This event goes to nobody: it is kept for history and reports.")),
  );
}
