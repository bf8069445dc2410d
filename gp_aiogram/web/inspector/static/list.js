// A list of any length of which only what is seen is in the document: rows of one height, a
// keyboard, and more rows from the server when the end comes near.

const OVERSCAN = 8;
const NEAR_END = 30;

export class VirtualList {
  // options: key(row), render(row) -> element, open(row), more(), id
  constructor(scroller, options) {
    this.scroller = scroller;
    this.options = options;
    this.rows = [];
    this.index = new Map();
    this.shown = new Map();
    this.selected = null;
    this.fresh = 0;
    this.spacer = document.createElement("div");
    this.spacer.className = "spacer";
    this.spacer.setAttribute("role", "presentation");
    scroller.append(this.spacer);
    this.phone = matchMedia("(max-width: 720px)");
    this.phone.addEventListener("change", () => this.redraw());
    scroller.addEventListener("scroll", () => this.schedule());
    scroller.addEventListener("keydown", (event) => this.key(event));
    scroller.addEventListener("focus", () => {
      if (this.selected === null && this.rows.length) this.select(this.first());
    });
    scroller.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.choose(row.dataset.key);
    });
    new ResizeObserver(() => this.schedule()).observe(scroller);
  }

  get height() {
    return this.phone.matches ? 62 : 36;
  }

  get atTop() {
    return this.scroller.scrollTop < this.height;
  }

  first() {
    const number = Math.min(this.rows.length - 1, Math.ceil(this.scroller.scrollTop / this.height));
    return this.options.key(this.rows[number]);
  }

  visible() {
    const from = Math.max(0, Math.floor(this.scroller.scrollTop / this.height));
    const to = Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / this.height);
    return this.rows.slice(from, to);
  }

  get(key) {
    const number = this.index.get(String(key));
    return number === undefined ? null : this.rows[number];
  }

  replace(rows) {
    this.rows = rows;
    this.selected = null;
    this.scroller.removeAttribute("aria-activedescendant");
    this.scroller.scrollTop = 0;
    this.changed();
  }

  append(rows) {
    for (const row of rows) {
      const key = String(this.options.key(row));
      if (this.index.has(key)) continue;
      this.index.set(key, this.rows.length);
      this.rows.push(row);
    }
    this.grown();
  }

  // Puts new rows on top; whoever has scrolled down keeps what they look at. Returns how many were new.
  prepend(rows) {
    const fresh = rows.filter((row) => !this.index.has(String(this.options.key(row))));
    if (!fresh.length) return 0;
    const stays = !this.atTop;
    this.rows.unshift(...fresh);
    this.changed();
    if (stays) this.scroller.scrollTop += fresh.length * this.height;
    return fresh.length;
  }

  // Puts rows in place of what they were. Rows that are not listed are left alone.
  update(rows) {
    for (const row of rows) {
      const key = String(this.options.key(row));
      const number = this.index.get(key);
      if (number === undefined) continue;
      this.rows[number] = row;
      this.drop(key);
    }
    this.schedule();
  }

  keep(test) {
    const kept = this.rows.filter(test);
    if (kept.length === this.rows.length) return;
    this.rows = kept;
    this.changed();
  }

  changed() {
    this.index = new Map(this.rows.map((row, number) => [String(this.options.key(row)), number]));
    this.grown();
  }

  grown() {
    this.spacer.style.height = `${this.rows.length * this.height}px`;
    this.draw();
  }

  redraw() {
    for (const key of [...this.shown.keys()]) this.drop(key);
    this.changed();
  }

  drop(key) {
    const element = this.shown.get(key);
    if (element) element.remove();
    this.shown.delete(key);
  }

  schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.draw();
    });
  }

  draw() {
    const height = this.height;
    const from = Math.max(0, Math.floor(this.scroller.scrollTop / height) - OVERSCAN);
    const to = Math.min(this.rows.length, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / height) + OVERSCAN);
    const keys = this.rows.slice(from, to).map((row) => String(this.options.key(row)));
    const wanted = new Set(keys);
    for (const key of [...this.shown.keys()]) if (!wanted.has(key)) this.drop(key);
    let place = this.spacer.firstChild;
    for (let number = from; number < to; number += 1) {
      const row = this.rows[number];
      const key = keys[number - from];
      let element = this.shown.get(key);
      if (!element) {
        element = this.options.render(row);
        element.dataset.key = key;
        element.id = `${this.options.id}-${key}`;
        element.setAttribute("role", "option");
        this.shown.set(key, element);
      }
      // In the order of the list, as screen readers go through it.
      if (element === place) place = place.nextSibling;
      else this.spacer.insertBefore(element, place);
      element.style.transform = `translateY(${number * height}px)`;
      element.setAttribute("aria-setsize", this.rows.length);
      element.setAttribute("aria-posinset", number + 1);
      element.setAttribute("aria-selected", String(key === this.selected));
    }
    if (to > this.rows.length - NEAR_END) this.options.more();
  }

  select(key) {
    this.selected = key === null ? null : String(key);
    const number = this.index.get(this.selected);
    if (number === undefined) return;
    const top = number * this.height;
    const view = this.scroller;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + this.height > view.scrollTop + view.clientHeight) view.scrollTop = top + this.height - view.clientHeight;
    this.draw();
    view.setAttribute("aria-activedescendant", `${this.options.id}-${this.selected}`);
  }

  choose(key) {
    this.select(key);
    const row = this.get(key);
    if (row) this.options.open(row);
  }

  key(event) {
    if (!this.rows.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.height) - 1);
    const last = this.rows.length - 1;
    const number = this.index.get(this.selected) ?? -1;
    const steps = { ArrowDown: number + 1, ArrowUp: number - 1, PageDown: number + page, PageUp: number - page, Home: 0, End: last, j: number + 1, k: number - 1 };
    if (event.key in steps) {
      event.preventDefault();
      this.select(this.options.key(this.rows[Math.min(last, Math.max(0, steps[event.key]))]));
    } else if ((event.key === "Enter" || event.key === " ") && this.selected !== null) {
      event.preventDefault();
      this.choose(this.selected);
    }
  }
}
