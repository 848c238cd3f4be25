// Sorting pictures, one by one, by keyboard: n normal, f the chosen fault, u unsure, z takes the last one back.
import { el, say, text } from "./dom.js";
import { api } from "./store.js";

const AHEAD = 8; // pictures that are asked for before the last one known is shown

export function sortScreen(main) {
  const held = { queue: [], seen: new Set(), undone: [], current: null, waiting: 0, chain: Promise.resolve(), state: null };
  const parts = {
    source: el("select", { id: "s-source" }), show: el("select", { id: "s-show" }), fault: el("select", { id: "s-fault" }),
    progress: el("progress", { "aria-label": "sorted" }), counts: el("p", { class: "soft", role: "status" }), name: el("p", { class: "soft" }),
    picture: el("img", { class: "picture", alt: "" }), empty: el("p"), note: el("p", { role: "status" }),
  };
  const doing = el("div", { class: "row keys" },
    button("Normal", "n", () => sort("normal")), button("Fault", "f", () => sort(parts.fault.value)), button("Unsure", "u", () => sort("unsure")), button("Take back", "z", undo));
  const stage = el("section", { class: "stage", tabindex: 0, "aria-label": "picture to sort: n normal, f fault, u unsure, z take back" },
    doing, parts.name, parts.picture, parts.empty, parts.note);
  main.append(el("h2", {}, "Sort pictures"),
    el("div", { class: "row" }, field("Source", parts.source), field("Show", parts.show), field("Fault", parts.fault)),
    el("div", { class: "row" }, parts.progress), parts.counts, stage);

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const act = { n: () => sort("normal"), f: () => sort(parts.fault.value), u: () => sort("unsure"), z: undo, Backspace: undo }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  parts.source.addEventListener("change", restart);
  parts.show.addEventListener("change", restart);

  async function load() {
    const before = parts.show.value;
    held.state = await api("workshop");
    fill(parts.source, held.state.sources.map(({ id }) => [id, id]));
    fill(parts.fault, held.state.faults.map(({ label, title }) => [label, title]));
    const labels = [["", "not sorted yet"], ["normal", "normal"], ...held.state.faults.map(({ label, title }) => [label, title]), ["unsure", "unsure"]];
    fill(parts.show, labels);
    parts.show.value = before;
    told();
  }

  function told() {
    const source = held.state.sources.find(({ id }) => id === parts.source.value);
    if (!source) {
      text(parts.counts, "page.toml names no source of pictures: docs/page.md says how.");
      return;
    }
    parts.progress.max = Math.max(1, source.pictures);
    parts.progress.value = source.sorted;
    const by = Object.entries(source.labels).map(([label, count]) => `${count} ${label}`).join(", ");
    text(parts.counts, source.why || `${source.sorted} of ${source.pictures} sorted${by ? `: ${by}` : ""}. ${held.state.faults.length ? "" : "No fault has a name yet: name it under Build."}`);
  }

  async function restart() {
    Object.assign(held, { queue: [], current: null, seen: new Set() });
    told();
    await more();
    show();
  }

  async function more() {
    if (!parts.source.value) return;
    const found = await api(`workshop/pictures/${encodeURIComponent(parts.source.value)}?label=${encodeURIComponent(parts.show.value)}`);
    for (const one of found) {
      if (held.seen.has(one.id)) continue;
      held.seen.add(one.id);
      held.queue.push(one);
    }
  }

  function show() {
    held.current = held.queue[0] ?? null;
    parts.picture.hidden = !held.current;
    text(parts.empty, held.current ? "" : "Nothing is left to sort here.");
    text(parts.name, held.current ? `${held.current.name}${held.current.label ? `: ${held.current.label}` : ""}` : "");
    if (!held.current) return;
    parts.picture.src = address(held.current);
    parts.picture.alt = `picture ${held.current.name}`;
    for (const next of held.queue.slice(1, 4)) new Image().src = address(next);
  }

  function address({ id }) {
    return `api/workshop/pictures/${encodeURIComponent(parts.source.value)}/${id}`;
  }

  // One after the other and behind the eye: the next picture is there before the last one is kept.
  function keep(source, one, label, failed) {
    held.waiting += 1;
    held.chain = held.chain.then(async () => {
      try {
        const { note } = await api("workshop/sort", { source, picture: one.id, label });
        text(parts.note, `${one.name}: ${label || "taken back"}${note ? `. ${note}` : ""}`);
      } catch (error) {
        say(error.message, true);
        failed();
        show();
      }
      held.waiting -= 1;
      if (held.waiting === 0) await load().catch((error) => say(error.message, true));
    });
  }

  function sort(label) {
    const one = held.current;
    if (!one) return;
    if (!label) {
      say("Name the fault first, under Build.", true);
      return;
    }
    const last = { source: parts.source.value, one: { ...one, label }, before: one.label };
    held.undone.push(last);
    held.queue.shift();
    keep(last.source, one, label, () => {
      held.undone = held.undone.filter((other) => other !== last);
      if (last.source === parts.source.value) held.queue.unshift(one);
    });
    show();
    if (held.queue.length < AHEAD) more().then(() => held.current || show()).catch((error) => say(error.message, true));
  }

  function undo() {
    const last = held.undone.pop();
    if (!last) return;
    const isHere = last.source === parts.source.value;
    const one = { ...last.one, label: last.before };
    if (isHere) held.queue.unshift(one);
    keep(last.source, one, last.before, () => {
      held.undone.push(last);
      if (isHere) held.queue = held.queue.filter((other) => other !== one);
    });
    show();
  }

  load().then(restart).then(() => stage.focus({ preventScroll: true })).catch((error) => say(error.message, true));
  return () => {};
}

function button(words, key, act) {
  return el("button", { type: "button", "aria-keyshortcuts": key, onclick: act }, `${words} `, el("kbd", {}, key));
}

export function field(words, input) {
  return el("div", {}, el("label", { for: input.id }, words), input);
}

// The options of a select; what was chosen stays.
export function fill(select, pairs) {
  const wanted = JSON.stringify(pairs);
  if (select.wanted === wanted) return;
  select.wanted = wanted;
  const chosen = select.value;
  select.replaceChildren(...pairs.map(([value, words]) => el("option", { value }, words)));
  if (pairs.some(([value]) => value === chosen)) select.value = chosen;
}
