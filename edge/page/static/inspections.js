// What was said of the parts before a camera, and which product is made. An answer is a record of its moment: it stays shown, with its time.
import { clock, el, text } from "./dom.js";
import { get } from "./store.js";

const COLUMNS = ["Time", "Part", "Verdict", "Why"];

// The place for a camera's answers; it is hidden until one is heard.
export function inspectionTable(camera) {
  const body = el("tbody");
  const counts = el("p", { class: "soft" });
  const box = el("div", { hidden: true }, el("h4", {}, "Inspections"), counts,
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `newest inspections of ${camera}` },
      el("table", {}, el("thead", {}, el("tr", {}, ...COLUMNS.map((words) => el("th", { scope: "col" }, words)))), body)));
  box.parts = { body, counts };
  return box;
}

export function updateInspections(box, node, camera, facts) {
  const entry = get(node, "inspection", camera);
  const triggers = Object.entries(facts.inspections ?? {}).filter(([, count]) => count);
  box.hidden = !entry && !triggers.length;
  if (box.hidden) return;
  const parts = Object.entries(facts.parts ?? {}).filter(([, count]) => count);
  text(box.parts.counts, `Since the daemon's start: ${listed(parts) || "no part answered"}. Triggers: ${listed(triggers) || "none"}.`);
  const drawn = JSON.stringify(entry?.doc ?? []);
  if (box.drawn === drawn) return;
  box.drawn = drawn;
  box.parts.body.replaceChildren(...(entry?.doc ?? []).map(answerRow));
}

function answerRow({ ts, part, outcome, verdict, reason, found }) {
  const isFault = verdict === "fault";
  const why = [found.join(", "), outcome === "judged" ? "" : outcome, reason].filter(Boolean).join(", ").replaceAll("_", " ");
  return el("tr", {}, el("td", {}, clock(ts)), el("td", {}, part ?? "not named"),
    el("td", { class: isFault ? "fault-words" : verdict === "ok" ? "" : "unknown" }, isFault ? "FAULT" : verdict ?? "unknown"), el("td", {}, why));
}

function listed(counts) {
  return counts.map(([name, count]) => `${count} ${name}`).join(", ");
}

// Words for the product that is made, or null where the site has no profiles.
export function profileWords(node) {
  const meta = get(node, "meta")?.doc;
  const id = meta?.profile ?? get(node, "state")?.doc.profile;
  if (!id) return null;
  const title = meta?.profiles?.find((one) => one.id === id)?.title;
  return title && title !== id ? `${id}, ${title}` : id;
}
