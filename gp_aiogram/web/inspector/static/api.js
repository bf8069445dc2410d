// Talks to the server: reads, acts, and follows the stream through interruptions.

export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(`api/${path}`, { credentials: "same-origin", ...options });
  } catch {
    throw new Refused(0, "the server does not answer");
  }
  let body = {};
  try {
    body = await response.json();
  } catch {
    // The status says enough.
  }
  if (!response.ok) throw new Refused(response.status, body.error || `HTTP ${response.status}`);
  return body;
}

export function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const search = new URLSearchParams(given).toString();
  return ask(search ? `${path}?${search}` : path, {});
}

export function post(path, body = {}) {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-GP-Action": "1" },
    body: JSON.stringify(body),
  });
}

const AGAIN = 1500;

// handlers: events, changed, touches, status, reset; state(live|connecting|off); refused().
export class Live {
  constructor(handlers) {
    this.handlers = handlers;
    this.cursor = null;
    this.source = null;
    this.timer = null;
  }

  start(cursor) {
    this.stop();
    this.cursor = cursor;
    this.open();
  }

  stop() {
    clearTimeout(this.timer);
    if (this.source) this.source.close();
    this.source = null;
  }

  open() {
    this.handlers.state("connecting");
    const source = new EventSource(`api/stream?cursor=${encodeURIComponent(this.cursor)}`);
    this.source = source;
    source.addEventListener("open", () => this.handlers.state("live"));
    source.addEventListener("error", () => this.broken(source));
    for (const name of ["events", "changed", "touches", "status"]) {
      source.addEventListener(name, (message) => this.handlers[name](JSON.parse(message.data)));
    }
    source.addEventListener("cursor", (message) => {
      this.cursor = message.lastEventId;
    });
    source.addEventListener("reset", (message) => {
      this.cursor = JSON.parse(message.data);
      this.handlers.reset();
    });
  }

  // A browser connects again by itself while the server is merely away, with Last-Event-ID. An
  // answer that is no stream makes it give up: then it is asked why.
  async broken(source) {
    if (source !== this.source) return;
    this.handlers.state("connecting");
    if (source.readyState !== EventSource.CLOSED) return;
    try {
      const me = await get("me");
      if (!me.allowed) {
        this.stop();
        this.handlers.refused();
        return;
      }
    } catch {
      this.handlers.state("off");
    }
    this.timer = setTimeout(() => this.open(), AGAIN);
  }
}
