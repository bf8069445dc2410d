// Draws the platforms with their switches.
import { el } from "/inspector/static/dom.js";

const POSITIONS = [
  ["works", "normally"],
  ["503", "with 503"],
  ["timeout", "not at all"],
  ["401", "with 401"],
  ["429", "with 429"],
];

const STATES = {
  healthy: "healthy",
  failing: "fails: probed now and then",
  throttled: "asked to wait",
  refused: "paused: the key is refused",
};

/** One platform; `turn(name, position)` breaks it, `retry(name)` tries again what waits. */
export function platform(one, turn, retry) {
  const { pending = 0, delivered = 0, dead = 0 } = one.deliveries;
  const options = POSITIONS.map(([value, text]) => el("option", { value, selected: value === one.switch }, text));
  const choose = (change) => turn(one.name, change.target.value);
  const figures = [`${delivered} delivered`, pending && `${pending} waiting`, dead && `${dead} given up`];
  return el("li", { class: "platform", "data-platform": one.name, "data-state": one.state, "data-switch": one.switch },
    el("div", {},
      el("h3", {}, el("span", { class: `dot ${one.state === "healthy" ? "good" : "bad"}`, "aria-hidden": "true" }), one.title),
      el("p", { class: "figures muted" }, figures.filter(Boolean).join(" · "))),
    el("div", {},
      el("label", {}, "answers ", el("select", { onchange: choose, "data-focus": `switch:${one.name}`, "aria-label": `${one.title} answers` }, options)),
      el("button", { type: "button", onclick: () => retry(one.name), disabled: !pending, "data-focus": `retry:${one.name}`,
        "aria-label": `Try ${one.title} now` }, "Try now")),
    el("p", { class: "mood" }, STATES[one.state] ?? one.state,
      one.called_at ? el("span", { "data-due": one.called_at, "data-words": ", called" }) : null));
}
