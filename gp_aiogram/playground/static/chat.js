// Draws the chat with the bot.
import { el, when } from "/inspector/static/dom.js";

/** An amount in the smallest units of a currency, as people read it. */
export function price({ amount, currency }) {
  if (currency === "XTR") return `★ ${amount} Stars`;
  const format = new Intl.NumberFormat("en", { style: "currency", currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

/** One entry; `act(action, body)` does something in Telegram. */
export function chatEntry(entry, act) {
  const time = el("time", {}, when(entry.at * 1000).slice(0, 5));
  if (entry.from === "note") {
    const money = entry.money ? ` ${price(entry.money)}` : "";
    return el("div", { class: "note" }, entry.text + money);
  }
  const bubble = el("div", { class: "bubble" }, entry.invoice ? invoice(entry.invoice) : entry.text, time);
  const keyboard = (entry.buttons ?? []).map((row) =>
    el("div", { class: "keys" }, row.map((button) => key(button, entry.key, act))));
  if (entry.invoice) keyboard.unshift(el("div", { class: "keys" }, payKey(entry.invoice, act)));
  return el("div", { class: entry.from }, bubble, keyboard);
}

function key(button, message, act) {
  if (button.url) {
    return el("a", { class: "key", href: button.url, target: "_blank", rel: "noopener noreferrer" }, button.text);
  }
  const focus = `${message}:${button.data}`;
  const press = () => act("press", { data: button.data });
  return el("button", { type: "button", class: "key", "data-focus": focus, onclick: press, disabled: !button.data }, button.text);
}

function invoice({ title, description, money }) {
  return el("div", {}, el("strong", {}, title), el("p", {}, description), el("p", { class: "price" }, price(money)));
}

function payKey({ message_id, money, paid }, act) {
  if (paid) return el("button", { type: "button", class: "key", disabled: true }, "Paid");
  const pay = () => act("pay", { message_id });
  return el("button", { type: "button", class: "key pay", onclick: pay, "data-focus": `pay:${message_id}` }, `Pay ${price(money)}`);
}
