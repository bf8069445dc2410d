// The inspector's page: who may look, the list that follows the store, the journey, the reports.

import { Live, get, post } from "./api.js";
import { amount, byId, chip, count, el, exactly, lasting, toast, when } from "./dom.js";
import { journey } from "./journey.js";
import { VirtualList } from "./list.js";
import { Reports } from "./reports.js";

const VIEWS = ["events", "sessions", "reports"];
const FILTERS = ["user", "event", "campaign", "destination", "state"];
const LOOK_AGAIN = 3000;

const app = {
  filters: {},
  before: null,
  loading: false,
  // Nothing more is asked for until something was.
  ended: true,
  asked: 0,
  meanwhile: null,
  fresh: 0,
  opened: null,
  shown: null,
  touchesBefore: null,
  touchesEnded: true,
  touchesLoading: false,
};

// What the server does not let through is told once, here.
function failed(error) {
  if (error.status === 401) showLogin();
}

// Rows

const title = (row) => `${row.name}, ${when(row.at)}, user ${row.user}, ${row.deliveries.map((each) => `${each.to} ${each.state}`).join(", ") || "no destination"}`;

function eventRow(row) {
  const chips = row.deliveries.map((each) => chip(each.state, each.state === "pending" && each.attempts ? `${each.to} ×${each.attempts}` : each.to));
  return el(
    "div",
    { class: "row", "aria-label": title(row) },
    el("span", { class: "time", title: `stored ${exactly(row.accepted)}, happened ${exactly(row.at)}` }, when(row.accepted)),
    el("span", { class: "name" }, row.name),
    el("span", { class: "num" }, amount(row.value, row.currency)),
    el("span", { class: "user" }, String(row.user)),
    el("span", { class: "muted", title: row.campaign || row.session || "" }, row.campaign || row.session || "organic"),
    el("span", { class: "chips" }, chips.length ? chips : el("span", { class: "muted" }, "no destination")),
  );
}

function sessionRow(row) {
  return el(
    "div",
    { class: "row session", "aria-label": `${row.session}, user ${row.user}, ${row.source}, ${when(row.at)}` },
    el("span", { class: "time", title: exactly(row.at) }, when(row.at)),
    el("span", { class: "user" }, String(row.user)),
    el("span", { class: "name", title: row.payload }, row.session),
    el("span", {}, row.source),
    el("span", { class: "muted" }, row.bot === null ? "" : String(row.bot)),
  );
}

const events = new VirtualList(byId("events"), { id: "event", key: (row) => row.seq, render: eventRow, open: openEvent, more: moreEvents });
const sessions = new VirtualList(byId("sessions"), { id: "session", key: (row) => row.key, render: sessionRow, open: openUser, more: moreTouches });
const reports = new Reports(failed);

const keyed = (touch) => ({ ...touch, key: touch.n || `${touch.user}-${touch.at}-${touch.session}` });

function state(id, heading, text, button) {
  const place = byId(id);
  place.hidden = heading === null;
  place.replaceChildren(...(heading === null ? [] : [el("strong", {}, heading), text, ...(button ? [el("p", {}, button)] : [])]));
}

// Events

function meant(row) {
  const wanted = app.filters;
  const here = (each) => (!wanted.destination || each.to === wanted.destination) && (!wanted.state || each.state === wanted.state);
  if (wanted.user && String(row.user) !== wanted.user) return false;
  if (wanted.event && row.id !== wanted.event && row.name.toLowerCase() !== wanted.event.toLowerCase()) return false;
  if (wanted.campaign && !(row.campaign || "").toLowerCase().includes(wanted.campaign.toLowerCase())) return false;
  return !(wanted.destination || wanted.state) || row.deliveries.some(here);
}

async function loadEvents() {
  const asked = (app.asked += 1);
  app.loading = true;
  app.ended = false;
  app.before = null;
  app.meanwhile = [];
  setFresh(0);
  if (!events.rows.length) state("events-state", "Loading…", "");
  try {
    const page = await get("events", app.filters);
    if (asked !== app.asked) return;
    app.loading = false;
    app.before = page.before;
    app.ended = page.before === null;
    events.replace(page.events);
    tellEmpty();
    settleMeanwhile();
    if (!live.source) live.start(page.cursor);
  } catch (error) {
    if (asked !== app.asked) return;
    app.loading = false;
    app.ended = true;
    app.meanwhile = null;
    events.replace([]);
    state("events-state", "The events could not be read", error.message, el("button", { type: "button", onclick: loadEvents }, "Try again"));
    failed(error);
  }
}

async function moreEvents() {
  if (app.loading || app.ended) return;
  const asked = app.asked;
  app.loading = true;
  try {
    const page = await get("events", { ...app.filters, before: app.before });
    if (asked !== app.asked) return;
    app.before = page.before;
    app.ended = page.before === null;
    app.loading = false;
    events.append(page.events);
    tellEmpty();
  } catch (error) {
    if (asked !== app.asked) return;
    app.loading = false;
    app.ended = true;
    toast(`Older events could not be read: ${error.message}`);
    failed(error);
  }
}

function tellEmpty() {
  if (events.rows.length) state("events-state", null);
  else if (!app.ended) state("events-state", "Looking further back…", "Nothing matches among the latest events so far.");
  else if (FILTERS.some((name) => app.filters[name])) state("events-state", "Nothing matches", "No stored event is what the filters say.", el("button", { type: "button", onclick: () => byId("filters").reset() }, "Clear the filters"));
  else state("events-state", "No events yet", "As soon as your bot or a backend records one, it appears here.");
}

function setFresh(number) {
  app.fresh = number;
  byId("fresh").hidden = !number;
  byId("fresh").textContent = number === 1 ? "1 new event ↑" : `${count(number)} new events ↑`;
}

// What the stream has told while a page was on its way may not be on it.
function settleMeanwhile() {
  const rows = app.meanwhile || [];
  app.meanwhile = null;
  if (rows.length) addEvents(rows);
}

function addEvents(rows) {
  if (app.meanwhile) {
    app.meanwhile.push(...rows);
    return;
  }
  const wanted = rows.filter(meant).sort((a, b) => b.seq - a.seq);
  const wasTop = events.atTop;
  changeEvents(rows);
  const added = events.prepend(wanted);
  if (added) tellEmpty();
  if (added && !wasTop) setFresh(app.fresh + added);
}

function changeEvents(rows) {
  events.update(rows);
  const gone = new Set(rows.filter((row) => !meant(row)).map((row) => row.seq));
  if (gone.size) events.keep((row) => !gone.has(row.seq));
  if (gone.size) tellEmpty();
  if (app.opened !== null && rows.some((row) => row.seq === app.opened)) showJourney(app.opened, false);
}


// What is on the screen and still pending may be too old for the stream to watch.
async function lookAgain() {
  if (app.opened !== null && !document.hidden) showJourney(app.opened, false);
  const pending = events.visible().filter((row) => row.deliveries.some((each) => each.state === "pending"));
  if (byId("view-events").hidden || document.hidden || !pending.length) return;
  const numbers = pending.map((row) => row.seq);
  try {
    const told = await get("events", { rows: `${Math.min(...numbers)}-${Math.max(...numbers)}` });
    const before = new Map(pending.map((row) => [row.seq, JSON.stringify(row)]));
    changeEvents(told.events.filter((row) => before.has(row.seq) && before.get(row.seq) !== JSON.stringify(row)));
  } catch (error) {
    failed(error);
  }
}

// The journey

async function openEvent(row) {
  await showJourney(row.seq, true);
}

async function showJourney(seq, focus) {
  const place = byId("detail");
  const again = app.opened === seq && !focus;
  app.opened = seq;
  place.hidden = false;
  place.parentElement.classList.add("open");
  if (!again) place.replaceChildren(el("p", { class: "state", role: "status" }, "Loading…"));
  try {
    const told = await get(`event/${seq}`);
    if (app.opened !== seq) return;
    const shown = JSON.stringify([told, app.status?.destinations.map((each) => each.state)]);
    if (again && shown === app.shown) return;
    app.shown = shown;
    const open = new Set([...place.querySelectorAll("details[open]")].map((each) => each.parentElement.querySelector("h3").textContent));
    const heading = el("h2", { tabindex: "-1" }, told.name, told.value === null ? "" : ` · ${amount(told.value, told.currency)}`);
    const close = el("button", { type: "button", class: "quiet", "aria-label": "Close the journey", onclick: closeJourney }, "✕");
    const act = (verb) => (destination) => action(verb, { destination, event_id: told.id });
    const scrolled = place.scrollTop;
    place.replaceChildren(
      el("header", {}, el("div", {}, heading, el("p", { class: "muted" }, `User ${told.user} · ${when(told.at)}`)), close),
      journey(told, { replay: act("replay"), purge: act("purge"), states: Object.fromEntries((app.status?.destinations || []).map((each) => [each.name, each.state])) }),
    );
    for (const each of place.querySelectorAll("details")) each.open = again && open.has(each.parentElement.querySelector("h3").textContent);
    place.scrollTop = again ? scrolled : 0;
    if (focus) heading.focus({ preventScroll: true });
  } catch (error) {
    if (app.opened !== seq) return;
    place.replaceChildren(el("header", {}, el("div", {}, el("h2", {}, "It cannot be shown"), el("p", { class: "muted" }, error.message)), el("button", { type: "button", class: "quiet", "aria-label": "Close the journey", onclick: closeJourney }, "✕")));
    failed(error);
  }
}

function closeJourney() {
  if (app.opened === null) return;
  app.opened = null;
  byId("detail").hidden = true;
  byId("detail").parentElement.classList.remove("open");
  byId("events").focus();
}

// Actions

const DONE = { replay: ["replayed", "Replay"], purge: ["purged", "Purge"] };

async function action(verb, body) {
  const what = body.event_id ? "this dead letter" : `all dead letters${body.destination ? ` of ${body.destination}` : ""}`;
  if (verb === "purge" && !confirm(`Purge ${what}? They are given up for good; their events stay in the reports.`)) return;
  try {
    const told = await post(verb, Object.fromEntries(Object.entries(body).filter(([, value]) => value)));
    toast(`${count(told.count)} dead letter${told.count === 1 ? "" : "s"} ${DONE[verb][0]}.`);
    if (!body.event_id) loadEvents();
    else if (app.opened !== null) await lookAgain();
  } catch (error) {
    toast(`${DONE[verb][1]} failed: ${error.message}`);
    failed(error);
  }
}

async function resume(destination) {
  try {
    const told = await post("resume", { destination });
    toast(told.resumed ? `${destination} is called again now.` : `${destination} is not waited for by this process.`);
    showStatus(told.status);
  } catch (error) {
    toast(`Resume failed: ${error.message}`);
    failed(error);
  }
}

// Destinations

const WORDS = { healthy: "healthy", failing: "failing", throttled: "throttled", refused: "paused" };

function tally(each) {
  const dead = each.counts.dead || 0;
  const filter = () => setFilters({ destination: each.name, state: "dead" });
  const parts = [
    el("span", {}, el("b", {}, count(each.counts.delivered || 0)), " delivered"),
    el("span", { title: each.oldest === null ? "" : `the next in turn has waited ${lasting(each.oldest)}` }, el("b", {}, count(each.counts.pending || 0)), " pending"),
  ];
  if (dead) parts.push(el("button", { type: "button", onclick: filter }, `${count(dead)} dead`));
  return el("div", { class: "tally" }, parts);
}

function showStatus(status) {
  const cards = status.destinations.map((each) => {
    const word = each.state ? WORDS[each.state] : each.configured ? "elsewhere" : "not configured";
    const resumable = each.state && each.state !== "healthy";
    return el(
      "article",
      { class: "destination card" },
      el("div", { class: "line" }, el("h2", {}, each.name), chip(each.state || "off", word)),
      el("div", { class: "line" }, tally(each), resumable ? el("button", { type: "button", class: "small", "aria-label": `Resume ${each.name}`, onclick: () => resume(each.name) }, "Resume") : null),
    );
  });
  const focused = document.activeElement?.getAttribute("aria-label");
  byId("destinations").replaceChildren(...cards);
  if (focused?.startsWith("Resume ")) byId("destinations").querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  const select = byId("f-destination");
  const names = ["", ...status.destinations.map((each) => each.name)];
  if ([...select.options].map((each) => each.value).join("\n") !== names.join("\n")) {
    select.replaceChildren(...names.map((name) => el("option", { value: name }, name || "Any")));
    select.value = app.filters.destination || "";
  }
  byId("banner").hidden = !status.journal;
  byId("banner").textContent = `${count(status.journal)} request${status.journal === 1 ? " waits" : "s wait"} in the journal: the store does not take them yet.`;
  const dead = status.destinations.filter((each) => !app.filters.destination || each.name === app.filters.destination).reduce((sum, each) => sum + (each.counts.dead || 0), 0);
  byId("bulk").hidden = app.filters.state !== "dead" || !dead;
  byId("bulk-text").textContent = `${count(dead)} dead letter${dead === 1 ? "" : "s"}${app.filters.destination ? ` of ${app.filters.destination}` : ""}`;
  app.status = status;
}

// Filters

function readFilters() {
  const form = new FormData(byId("filters"));
  app.filters = Object.fromEntries(FILTERS.map((name) => [name, String(form.get(name) || "").trim()]));
  const set = FILTERS.filter((name) => app.filters[name]).length;
  byId("filters-toggle").textContent = set ? `Filters (${set})` : "Filters";
  if (app.status) showStatus(app.status);
  loadEvents();
}

function setFilters(filters) {
  location.hash = "events";
  for (const name of FILTERS) byId("filters").elements[name].value = filters[name] || "";
  readFilters();
}

byId("filters-toggle").addEventListener("click", () => {
  const shown = byId("filters").classList.toggle("shown");
  byId("filters-toggle").setAttribute("aria-expanded", String(shown));
});

let typing = null;
byId("filters").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(readFilters, 250);
});
byId("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  readFilters();
});
byId("filters").addEventListener("reset", () => setTimeout(readFilters));
byId("session-filters").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(loadTouches, 250);
});
byId("session-filters").addEventListener("submit", (event) => {
  event.preventDefault();
  loadTouches();
});

// Sessions

async function loadTouches() {
  app.touchesBefore = null;
  app.touchesEnded = false;
  sessions.replace([]);
  state("sessions-state", "Loading…", "");
  await moreTouches(true);
}

async function moreTouches(first = false) {
  if (app.touchesLoading || app.touchesEnded || (!first && app.touchesBefore === null)) return;
  app.touchesLoading = true;
  const user = byId("s-user").value.trim();
  try {
    const page = await get("touches", { user, before: app.touchesBefore });
    app.touchesBefore = page.before;
    app.touchesEnded = page.before === null;
    sessions.append(page.touches.map(keyed));
    if (sessions.rows.length) state("sessions-state", null);
    else if (!page.listed) state("sessions-state", "This session store lists no sessions", "Name a user to see theirs.");
    else state("sessions-state", user ? "No sessions of this user" : "No sessions yet", user ? "They came without a link, or their sessions are not kept any more." : "They appear as soon as somebody follows a link such as t.me/your_bot?start=gp_….");
  } catch (error) {
    app.touchesEnded = true;
    state("sessions-state", "The sessions could not be read", error.message, el("button", { type: "button", onclick: loadTouches }, "Try again"));
    failed(error);
  } finally {
    app.touchesLoading = false;
  }
}

function openUser(row) {
  setFilters({ user: String(row.user) });
}

// The stream

const SAID = { live: "Live", connecting: "Connecting…", off: "Not connected" };

const live = new Live({
  events: addEvents,
  changed: changeEvents,
  touches(rows) {
    if (byId("s-user").value.trim()) return;
    if (sessions.prepend(rows.map(keyed).reverse())) state("sessions-state", null);
  },
  status: showStatus,
  reset: () => {
    loadEvents();
    loadTouches();
  },
  state(name) {
    byId("live").dataset.state = name;
    byId("live").textContent = SAID[name];
  },
  refused: showLogin,
});

// Views

function showView() {
  const name = VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "events";
  for (const each of VIEWS) {
    byId(`view-${each}`).hidden = each !== name;
    if (each === name) byId(`tab-${each}`).setAttribute("aria-current", "page");
    else byId(`tab-${each}`).removeAttribute("aria-current");
  }
  if (byId("app").hidden) return;
  if (name === "reports") reports.load();
  if (name === "events") events.schedule();
  if (name === "sessions") sessions.schedule();
}

addEventListener("hashchange", showView);
addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeJourney();
  if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName || "")) {
    const field = { events: "f-user", sessions: "s-user" }[location.hash.slice(1) || "events"];
    if (field) {
      event.preventDefault();
      byId(field).focus();
    }
  }
});

// Who may look

function showLogin() {
  live.stop();
  byId("app").hidden = true;
  byId("logout").hidden = true;
  byId("live").hidden = true;
  byId("login").hidden = false;
  closeJourney();
  byId("token").focus();
}

function showApp(me) {
  byId("login").hidden = true;
  byId("app").hidden = false;
  byId("live").hidden = false;
  byId("logout").hidden = !me.logged_in;
  showView();
  loadEvents();
  loadTouches();
}

byId("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("login-error").textContent = "";
  try {
    await post("login", { token: byId("token").value });
    byId("login-form").reset();
    showApp(await get("me"));
  } catch (error) {
    byId("login-error").textContent = `You are not logged in: ${error.message}.`;
    byId("token").select();
  }
});

byId("logout").addEventListener("click", async () => {
  try {
    await post("logout");
    showLogin();
  } catch (error) {
    toast(`You are still logged in: ${error.message}`);
  }
});

byId("fresh").addEventListener("click", () => {
  byId("events").scrollTop = 0;
  setFresh(0);
});
byId("events").addEventListener("scroll", () => {
  if (app.fresh && events.atTop) setFresh(0);
});
byId("replay-all").addEventListener("click", () => action("replay", { destination: app.filters.destination }));
byId("purge-all").addEventListener("click", () => action("purge", { destination: app.filters.destination }));

const ICONS = { automatic: "◐", light: "☀", dark: "☾" };
function showTheme() {
  const current = window.gpTheme.current;
  byId("theme").textContent = ICONS[current];
  byId("theme").setAttribute("aria-label", `Theme: ${current}`);
  byId("theme").title = `Theme: ${current}`;
}
byId("theme").addEventListener("click", () => {
  window.gpTheme.next();
  showTheme();
});
showTheme();
setInterval(lookAgain, LOOK_AGAIN);

async function begin() {
  showView();
  try {
    const me = await get("me");
    if (me.allowed) showApp(me);
    else showLogin();
  } catch (error) {
    byId("live").dataset.state = "off";
    byId("live").textContent = SAID.off;
    setTimeout(begin, LOOK_AGAIN);
  }
}
begin();
