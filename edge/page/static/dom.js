// Builds and updates elements. Text is only ever set as text, so nothing from the wire can become markup.

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

// Keeps one child for each item, in their order; an element that has the focus keeps it when it moves.
export function keyed(parent, items, keyOf, make, update) {
  const held = (parent.held ??= new Map());
  const wanted = new Set(items.map(keyOf));
  for (const [key, node] of held) {
    if (!wanted.has(key)) {
      node.remove();
      held.delete(key);
    }
  }
  const focused = document.activeElement;
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = held.get(key);
    if (!node) held.set(key, (node = make(item)));
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

export function age(ms) {
  let left = Math.max(0, Math.floor(ms / 1000));
  const parts = [];
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const count = Math.floor(left / length);
    left -= count * length;
    if (count || parts.length) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

export function clock(stamp) {
  if (stamp == null) return "-";
  const moment = new Date(stamp);
  const today = moment.toDateString() === new Date().toDateString();
  return today ? moment.toLocaleTimeString() : moment.toLocaleString();
}

export function number(value) {
  return value == null ? "-" : Number(value).toFixed(3);
}

let clearing;
export function say(words, isBad = false) {
  const place = document.getElementById("says");
  place.replaceChildren(el("p", { class: isBad ? "bad" : "" }, words));
  clearTimeout(clearing);
  clearing = setTimeout(() => place.replaceChildren(), isBad ? 15000 : 6000);
}

// A modal dialog; the browser keeps the focus inside, closes it with Escape and gives the focus back.
export function ask(title, ...content) {
  const dialog = document.getElementById("dialog");
  dialog.replaceChildren(el("h2", { id: "dialog-title" }, title), ...content.filter(Boolean));
  if (!dialog.open) dialog.showModal();
  return dialog;
}
