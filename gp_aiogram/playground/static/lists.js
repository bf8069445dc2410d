// Keeps lists of elements in step with data without disturbing what is open, focused or scrolled.

/** Have a list show these items; elements whose item is as before stay as they are. */
export function sync(list, items, render) {
  const before = new Map([...list.children].map((element) => [element.dataset.key, element]));
  items.forEach((item, index) => {
    const print = JSON.stringify(item);
    let element = before.get(item.key);
    before.delete(item.key);
    if (!element || element.print !== print) element = replaced(element, item, print, render);
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  });
  for (const element of before.values()) element.remove();
}

function replaced(old, item, print, render) {
  const element = render(item);
  element.dataset.key = item.key;
  element.print = print;
  if (!old) {
    element.classList.add("new");
    return element;
  }
  const focus = old.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  for (const fold of old.querySelectorAll("details[open]")) {
    const same = element.querySelector(`details[data-fold="${CSS.escape(fold.dataset.fold)}"]`);
    if (same) same.open = true;
  }
  old.replaceWith(element);
  if (focus) element.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
  return element;
}

/** Keep a scrolled list at its end while something is added, unless somebody has scrolled up. */
export function keepAtEnd(list, change) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  const height = list.scrollHeight;
  change();
  if (atEnd && list.scrollHeight !== height) list.scrollTop = list.scrollHeight;
}
