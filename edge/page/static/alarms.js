// The alarm screen: what to do first, then why; shape and words say what colour says.
import { age, ask, clock, el, keyed, number, say, svg, text } from "./dom.js";
import { api, doubt, get, may, of, store } from "./store.js";
import { showEvidence } from "./evidence.js";

const WORDS = {
  NORM: "normal", UNACK_ALM: "active, not acknowledged", ACK_ALM: "active, acknowledged",
  RTN_UNACK: "gone, not acknowledged", LATCH_UNACK: "gone, latched, not acknowledged", LATCH_ACK: "gone, latched",
  SHELVED: "shelved", SUPPRESSED: "suppressed by design", OOS: "out of service",
};
const HIDDEN = new Set(["SHELVED", "SUPPRESSED", "OOS"]);
const SHAPES = {
  Critical: () => svg("path", { d: "M10 1 19 18H1z" }),
  High: () => svg("path", { d: "M10 1 19 10 10 19 1 10z" }),
  Medium: () => svg("rect", { x: 2.5, y: 2.5, width: 15, height: 15 }),
  Low: () => svg("circle", { cx: 10, cy: 10, r: 8 }),
};
const NUMBERS = { Critical: "1", High: "2", Medium: "3", Low: "4" };

export function alarms() {
  return of("alarm").map((entry) => ({ ...entry, doubt: doubt(entry) })).filter(isListed);
}

// The broker may keep conditions of alarms that the node no longer has.
function isListed(entry) {
  const meta = get(entry.node, "meta");
  return !meta || meta.doc.alarms.some((alarm) => alarm.id === entry.name);
}

function place({ doc, doubt: unknown }) {
  if (HIDDEN.has(doc.state) && !unknown) return "hidden";
  if (doc.state !== "NORM" && !HIDDEN.has(doc.state)) return "shown";
  return unknown || doc.quality !== "good" ? "unknown" : "normal";
}

function order(a, b) {
  return (a.doc.acked - b.doc.acked) || (b.doc.active - a.doc.active) || (b.doc.severity - a.doc.severity)
    || String(b.doc.time.active).localeCompare(String(a.doc.time.active)) || a.name.localeCompare(b.name);
}

export function shape(priority, isLit, isAcked) {
  const made = SHAPES[priority] ?? SHAPES.Low;
  const number = svg("text", { x: 10, y: priority === "Critical" ? 16 : 13.2 });
  number.textContent = NUMBERS[priority] ?? "4";
  return svg("svg", { viewBox: "0 0 20 20", class: `shape ${isLit ? "is-lit" : ""} ${isAcked ? "is-acked" : ""}`, "aria-hidden": "true" }, made(), number);
}

export function unacknowledged() {
  const counts = {};
  for (const { doc, doubt: unknown } of alarms()) {
    if (!doc.acked && !HIDDEN.has(doc.state) && !unknown) counts[doc.priority] = (counts[doc.priority] ?? 0) + 1;
  }
  return counts;
}

export function alarmScreen(main) {
  const lists = {};
  const sections = {};
  for (const [name, title, isOpen] of [
    ["shown", "Alarms", null], ["unknown", "Not known", true], ["hidden", "Shelved, suppressed, out of service", false], ["normal", "Normal", false],
  ]) {
    lists[name] = el("ul", { class: "list" });
    const heading = el(isOpen === null ? "h2" : "summary", {}, title);
    const body = isOpen === null ? [heading, el("p", { class: "soft" }), lists[name]] : [el("details", { open: isOpen }, heading, lists[name])];
    sections[name] = { heading, title, box: el("section", { "aria-label": title }, ...body) };
    main.append(sections[name].box);
  }
  return () => {
    const found = { shown: [], unknown: [], hidden: [], normal: [] };
    for (const entry of alarms()) found[place(entry)].push(entry);
    for (const [name, entries] of Object.entries(found)) {
      const { heading, title, box } = sections[name];
      text(heading, `${title} (${entries.length})`);
      if (name === "shown") text(box.querySelector("p"), entries.length ? "" : nothing(found));
      else box.hidden = entries.length === 0;
      keyed(lists[name], entries.sort(order), (entry) => `${entry.node} ${entry.name}`, makeRow, updateRow);
    }
  };
}

function nothing(found) {
  if (found.unknown.length) return "Nothing is known to be wrong, but not everything is known: see below.";
  if (!found.normal.length && !found.hidden.length) return "No alarm was heard of yet: nothing is known.";
  return "No alarm.";
}

function makeRow() {
  const row = el("li", { class: "alarm" });
  row.parts = {
    shape: el("span"),
    action: el("p", { class: "action" }), message: el("p", { class: "message" }), consequence: el("p", { class: "soft" }), why: el("p", { class: "unknown" }),
    state: el("p", { class: "state" }), detail: el("p"), more: el("p"),
    doing: el("div", { class: "doing" }),
  };
  const { parts } = row;
  row.append(parts.shape, el("div", {}, parts.action, parts.message, parts.consequence, parts.why), el("div", { class: "facts" }, parts.state, parts.detail, parts.more), parts.doing);
  return row;
}

function updateRow(row, entry) {
  const { doc, doubt: unknown } = entry;
  const { parts } = row;
  row.entry = entry;
  const isNormal = doc.state === "NORM";
  row.className = `alarm p-${doc.priority.toLowerCase()} ${doc.active ? "is-on" : ""} ${doc.acked ? "" : "unacked"} ${unknown || (isNormal && doc.quality !== "good") ? "is-unknown" : ""}`;
  const isLit = !isNormal && !doc.acked && !unknown;
  const drawn = `${doc.priority} ${isLit} ${doc.active && doc.acked}`;
  if (row.drawn !== drawn) {
    row.drawn = drawn;
    parts.shape.replaceChildren(shape(doc.priority, isLit, doc.active && doc.acked), el("span", { class: "soft" }, doc.priority));
  }
  text(parts.action, isNormal ? doc.message : doc.operator_action || doc.message);
  text(parts.message, isNormal ? "" : doc.message);
  text(parts.consequence, isNormal || !doc.consequence ? "" : `Otherwise: ${doc.consequence}`);
  text(parts.why, unknown ? `Unknown since ${clock(unknown.since)} (${age(Date.now() - unknown.since)}): ${unknown.why}` : "");
  text(parts.state, words(doc, unknown));
  const since = doc.time.active && !isNormal ? `${clock(doc.time.active)}, ${age(Date.now() - Date.parse(doc.time.active))} ago. ` : "";
  const value = doc.value == null ? "" : `Value ${number(doc.value)}${doc.threshold == null ? "" : `, limit ${number(doc.threshold)}`}. `;
  text(parts.detail, `${since}${value}`);
  const marks = [doc.chattering && "chattering", doc.first_out && "first out", doc.suppressed_because, doc.time.shelved_until && `until ${clock(doc.time.shelved_until)}`].filter(Boolean);
  const who = doc.ack.user && !isNormal && doc.acked ? [`acknowledged by ${doc.ack.user}`] : [];
  text(parts.more, [entry.node, doc.id, ...marks, ...who].join(" · "));
  buttons(row, entry);
}

// A normal state with data that are not good says nothing: it is unknown.
function words(doc, unknown) {
  const data = doc.quality === "good" ? "" : `data ${doc.quality}`;
  if (data && doc.state === "NORM") return `${unknown ? "last known: " : ""}unknown, ${data}`;
  return [`${unknown ? "last known: " : ""}${WORDS[doc.state] ?? doc.state}`, data].filter(Boolean).join(", ");
}

function buttons(row, entry) {
  const { doc, doubt: unknown } = entry;
  const wanted = [];
  if (!doc.acked && may("ack") && !HIDDEN.has(doc.state)) wanted.push(["Acknowledge", () => acknowledge(row.entry)]);
  else if (doc.acked && doc.occurrence_id && may("ack")) wanted.push(["True or false?", () => acknowledge(row.entry)]);
  if (doc.state === "LATCH_ACK" && may("reset")) wanted.push(["Reset", () => command(row.entry, "reset", {})]);
  if (!HIDDEN.has(doc.state) && doc.state !== "NORM" && may("shelve")) wanted.push(["Shelve", () => shelve(row.entry)]);
  if (doc.state === "SHELVED" && may("unshelve")) wanted.push(["Unshelve", () => command(row.entry, "unshelve", {})]);
  wanted.push(["Details", () => details(row.entry)]);
  const key = `${wanted.map(([name]) => name)} ${Boolean(unknown)}`;
  if (row.wanted === key) return;
  row.wanted = key;
  const name = document.activeElement?.closest(".alarm") === row ? document.activeElement.dataset.name : null;
  // A button that stays is the same element: a dialog that was opened from it gives the focus back to it.
  keyed(row.parts.doing, wanted, ([words]) => words, ([words, act]) => el("button", { type: "button", "data-name": words, onclick: act }, words), (button, [words]) => {
    button.setAttribute("aria-label", `${words}: ${doc.message}`);
    button.disabled = Boolean(unknown) && words !== "Details";
  });
  if (name && !row.querySelector(`[data-name="${name}"]`)) row.querySelector("button:not([disabled])")?.focus();
}

export async function command(entry, verb, fields) {
  try {
    const reply = await api("command", { node: entry.node, verb, alarm_id: entry.name, ...fields });
    if (reply.ok) say(`${entry.doc.message}: ${verb.replace("_", " ")} done${reply.state ? `, now ${WORDS[reply.state] ?? reply.state}` : ""}`);
    else say(`Refused, ${reply.code.replaceAll("_", " ")}: ${reply.detail}`, true);
    return reply;
  } catch (error) {
    say(String(error.message), true);
    return null;
  }
}

function form(title, about, fields, words, act) {
  const sends = el("button", { type: "submit" }, words);
  const made = el("form", { method: "dialog", novalidate: true }, ...fields, el("div", { class: "doing" }, sends, el("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    const bad = [...made.elements].find((field) => !field.checkValidity());
    if (bad) {
      bad.setAttribute("aria-invalid", "true");
      bad.focus();
      say(`${bad.labels?.[0]?.textContent ?? "A field"}: ${bad.validationMessage}`, true);
      return;
    }
    sends.disabled = true;
    await act(new FormData(made));
    dialog.close();
  });
  const dialog = ask(title, about && el("p", {}, about), made);
  return { made, sends };
}

function acknowledge(entry) {
  const { doc } = entry;
  const occurrence = doc.occurrence_id; // the one that is seen now, whatever comes meanwhile
  const choices = [["", "Not said"], ["true", "The fault was there"], ["false", "False alarm"]];
  const labels = choices.map(([value, words], index) => el("label", {}, el("input", { type: "radio", name: "valid", value, checked: index === 0 }), words));
  const { sends } = form(doc.acked ? "Was it true?" : "Acknowledge", `${doc.message}. ${doc.operator_action}`, [
    el("fieldset", {}, el("legend", {}, "Was it a fault?"), ...labels),
    el("label", { for: "comment" }, "Comment"), el("input", { id: "comment", name: "comment", maxlength: 1000, autocomplete: "off" }),
  ], doc.acked ? "Send" : "Acknowledge", (data) => {
    const valid = data.get("valid");
    return command(entry, "ack", { occurrence_id: occurrence, comment: data.get("comment"), ...(valid ? { valid: valid === "true" } : {}) });
  });
  sends.focus();
}

function shelve(entry) {
  const times = [[900, "15 minutes"], [1800, "30 minutes"], [3600, "1 hour"], [14400, "4 hours"], [28800, "8 hours"]];
  form("Shelve", `Hide for a while: ${entry.doc.message}`, [
    el("label", { for: "time" }, "For how long"),
    el("select", { id: "time", name: "time" }, ...times.map(([value, words]) => el("option", { value, selected: value === 1800 }, words))),
    el("label", { for: "reason" }, "Reason"), el("input", { id: "reason", name: "comment", required: true, maxlength: 1000, autocomplete: "off" }),
  ], "Shelve", (data) => command(entry, "shelve", { duration_s: Number(data.get("time")), comment: data.get("comment") }));
}

function outOfService(entry) {
  form("Take out of service", entry.doc.message, [
    el("label", { for: "reason" }, "Reason"), el("input", { id: "reason", name: "comment", required: true, maxlength: 1000, autocomplete: "off" }),
  ], "Take out of service", (data) => command(entry, "out_of_service", { comment: data.get("comment") }));
}

function details(entry) {
  const { doc } = entry;
  const sentence = get(entry.node, "explain", entry.name);
  const evidence = get(entry.node, "evidence", entry.name);
  const rows = [
    ["Do", doc.operator_action], ["Otherwise", doc.consequence], ["State", words(doc, doubt(entry))], ["Data", doc.quality],
    ["Priority", `${doc.priority}, severity ${doc.severity}`], ["Value", doc.value == null ? "-" : `${number(doc.value)}, limit ${number(doc.threshold)}`],
    ["Active since", clock(doc.time.active)], ["Acknowledged", doc.time.acked ? `${clock(doc.time.acked)} by ${doc.ack.user ?? "-"} ${doc.ack.comment ?? ""}` : "-"],
    ["Cleared", clock(doc.time.cleared)], ["Shelved until", clock(doc.time.shelved_until)], ["Reason", doc.reason ?? "-"],
    ["Camera", doc.source.camera ?? "-"], ["Asset", [doc.asset.path, doc.asset.rds_pp].filter(Boolean).join(", ") || "-"], ["Occurrence", doc.occurrence_id ?? "-"], ["Node", entry.node],
  ];
  const list = el("dl", {}, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value ?? "-"))]));
  const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const doing = el("div", { class: "doing" }, close);
  const isHere = store.me?.evidence.includes(entry.node);
  if (doc.occurrence_id && isHere && doc.source.camera) doing.append(el("button", { type: "button", onclick: () => showEvidence(entry.node, doc.occurrence_id) }, "Evidence"));
  const shown = el("div");
  if (may("snapshot") && doc.source.camera) {
    doing.append(el("button", { type: "button", onclick: () => momentOf(entry, shown) }, "Picture of that moment"));
  }
  if (doc.out_of_service ? may("in_service") : may("out_of_service")) {
    const act = doc.out_of_service ? () => command(entry, "in_service", {}).then(() => dialog.close()) : () => outOfService(entry);
    doing.append(el("button", { type: "button", onclick: act }, doc.out_of_service ? "Put back into service" : "Take out of service"));
  }
  const isNew = sentence && sentence.doc.occurrence_id === doc.occurrence_id;
  const dialog = ask(doc.message, isNew && el("p", { class: "soft" }, sentence.doc.text), list,
    evidence && evidence.doc.occurrence_id === doc.occurrence_id && el("p", { class: "soft" }, `Evidence: ${evidence.doc.frames} pictures are kept on the device${evidence.doc.problem ? `, not whole: ${evidence.doc.problem}` : ""}.`), shown, doing);
  close.focus();
}

async function momentOf(entry, shown) {
  const reply = await command(entry, "snapshot", {});
  if (!reply?.snapshot) return;
  const { sha256, received, camera } = reply.snapshot;
  shown.replaceChildren(el("img", { class: "picture", src: `api/pictures/${sha256}`, alt: `Picture of ${camera}, received ${clock(received)}` }), el("p", { class: "soft" }, `${camera}, received ${clock(received)}`));
}
