// The playground: connects the page to what runs behind it.
import { post, Refused } from "/inspector/static/api.js";
import { byId as $, el, toast } from "/inspector/static/dom.js";
import { chatEntry } from "./chat.js";
import { keepAtEnd, sync } from "./lists.js";
import { step } from "./journey.js";
import { platform } from "./platforms.js";

let me = null;
let stream = null;
let notified = null;
/** Whoever has clicked an ad goes on with the keyboard where the link leads. */
let goesOn = false;

// Asking

/** Do something, and show why when it cannot be done. */
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    toast(error instanceof Refused ? error.message : String(error));
  }
}

const act = (action, body) => attempt(() => post(`people/${me}/${action}`, body));
const turn = (name, position) => attempt(() => post(`platforms/${encodeURIComponent(name)}/switch`, { position }));
const retry = (name) => attempt(() => post(`platforms/${encodeURIComponent(name)}/retry`));

// Ads: what a landing page reports of a click, with ids of the form that the platforms give

const random = (length) => Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) =>
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[byte & 63]).join("");

const ADS = {
  meta: { source: "facebook", landing: "", id: () => ["fbclid", `IwAR${random(40)}`] },
  tiktok: { source: "tiktok", landing: "", id: () => ["ttclid", `E.C.P.${random(40)}`] },
  channel: { source: "facebook", landing: "/channel", id: () => ["fbclid", `IwAR${random(40)}`] },
};

/** Report a click as a landing page does; see gp.js. */
async function reported(path, click) {
  const response = await fetch(path, { method: "POST", body: JSON.stringify(click) }).catch(() => null);
  if (response === null) throw new Refused(0, "the sandbox does not answer");
  if (!response.ok) throw new Refused(response.status, "the landing did not take the click");
  return response.json();
}

async function clickAd(name) {
  const ad = ADS[name];
  const url = new URL("https://shop.example.com/");
  url.searchParams.set("utm_source", ad.source);
  url.searchParams.set("utm_campaign", $("campaign").value.trim() || "none");
  url.searchParams.set(...ad.id());
  const { link } = await reported(`${ad.landing}/click`, { url: url.href });
  goesOn = true;
  await post(`people/${me}/open`, { url: link });
}

// Showing

function show(state) {
  showPeople(state);
  showChat(state.chat);
  sync($("platforms"), state.platforms.map((one) => ({ ...one, key: one.name })), (one) => platform(one, turn, retry));
  keepAtEnd($("journey"), () => sync($("journey"), later(state), step));
  $("nothing").hidden = state.journey.length > 0;
  $("journey").hidden = state.journey.length === 0;
  tick();
}

/** The journey; a delivery is due when its platform may be called. */
function later({ journey, platforms }) {
  const calls = Object.fromEntries(platforms.map((one) => [one.name, one.called_at ?? 0]));
  const moved = (one) => ({ ...one, due: Math.max(one.due, calls[one.destination] ?? 0) });
  return journey.map((one) => one.deliveries ? { ...one, deliveries: one.deliveries.map(moved) } : one);
}

function showPeople({ people, bot }) {
  sync($("person"), people.map((one) => ({ ...one, key: String(one.id) })), (one) =>
    el("option", { value: one.id }, one.name));
  $("person").value = me;
  $("avatar").textContent = bot.name.slice(0, 1);
  $("bot-name").textContent = bot.name;
  $("bot-username").textContent = `@${bot.username}`;
}

function showChat({ entries, link, notification }) {
  keepAtEnd($("chat"), () => sync($("chat"), entries, (entry) => chatEntry(entry, act)));
  const waits = link !== null || entries.length === 0;
  const held = document.activeElement === $("go-on");
  $("go-on").hidden = !waits;
  $("say").hidden = waits;
  $("go-on").textContent = link?.joins ? "JOIN THE CHANNEL" : "START";
  $("link").hidden = link === null;
  $("link").textContent = link?.url ?? "";
  if (held && !waits) $("text").focus();
  if (goesOn && link !== null) {
    $("go-on").focus();
    goesOn = false;
  }
  if (notified !== null && notification.number > notified && notification.text) toast(notification.text);
  notified = notification.number;
}

/** Count down to what is due. */
function tick() {
  for (const element of document.querySelectorAll("[data-due]")) {
    const left = Math.ceil(Number(element.dataset.due) - Date.now() / 1000);
    const words = element.dataset.words ?? "next try";
    element.textContent = left > 0 ? `${words} in ${left} s` : `${words} any moment`;
  }
}

// Following

function follow(id) {
  stream?.close();
  me = id;
  notified = null;
  history.replaceState(null, "", `#${id}`);
  stream = new EventSource(`api/people/${id}/stream`);
  stream.onmessage = (message) => {
    connection("live", "Live");
    show(JSON.parse(message.data));
  };
  stream.onerror = () => {
    connection("off", "Not connected: is gp-aiogram sandbox still running?");
    // A person of an earlier sandbox is unknown to this one: begin with the first.
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 1000, FIRST);
  };
}

function connection(state, text) {
  if ($("live").dataset.state === state) return;
  $("live").dataset.state = state;
  $("live").textContent = text;
}

const FIRST = 1001;

$("person").addEventListener("change", () => follow(Number($("person").value)));
$("add-person").addEventListener("click", () => attempt(async () => follow((await post("people")).id)));
$("go-on").addEventListener("click", () => act("go-on"));
$("say").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const text = $("text").value;
  if (!text.trim()) return;
  $("text").value = "";
  act("say", { text });
});
for (const button of document.querySelectorAll("[data-ad]")) {
  button.addEventListener("click", () => attempt(() => clickAd(button.dataset.ad)));
}
$("theme").addEventListener("click", () => {
  $("theme").setAttribute("aria-label", `Theme: ${window.gpTheme.next()}`);
});
setInterval(tick, 250);
follow(Number(location.hash.slice(1)) || FIRST);
