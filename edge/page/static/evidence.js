// The seconds around one occurrence: one picture at a time by a slider, with what the daemon made of it.
import { ask, clock, el, number, say } from "./dom.js";
import { api } from "./store.js";
import { chart } from "./chart.js";

export async function showEvidence(node, occurrence) {
  const base = `evidence/${encodeURIComponent(node)}/${encodeURIComponent(occurrence)}`;
  let found;
  try {
    found = await api(base);
  } catch (error) {
    say(error.message, true);
    return;
  }
  const frames = found.frames;
  if (!frames.length) {
    say("This recording holds no picture.", true);
    return;
  }
  const raised = found.raised.find((mark) => mark.occurrence === occurrence) ?? found.raised[0];
  const first = Math.max(0, frames.findLastIndex((frame) => frame.received <= (raised?.at ?? "")));
  const picture = el("img", { class: "picture", alt: "" });
  const words = el("p", { "aria-live": "polite" });
  const slider = el("input", { id: "frame", type: "range", min: 0, max: frames.length - 1, step: 1, value: first, oninput: () => show() });
  const names = [...new Set(frames.flatMap((frame) => Object.keys(frame.flags ?? {})))];
  const charts = names.map((name) => el("div", {}, el("p", { class: "soft" }, `${name}, limit ${number(found.thresholds[name])}`),
    chart(frames.map((frame) => [Date.parse(frame.received), frame.flags?.[name]?.[1] ?? null, frame.flags?.[name]?.[2] ?? "bad"]), found.thresholds[name], `score of ${name}`)));
  function show() {
    const frame = frames[slider.value];
    picture.src = `api/${base}/${slider.value}`;
    picture.alt = `Picture ${Number(slider.value) + 1} of ${frames.length}, ${clock(frame.received)}`;
    const flags = Object.entries(frame.flags ?? {}).map(([name, [verdict, score, quality]]) => `${name}: ${verdict} ${number(score)}${quality === "good" ? "" : ` (${quality})`}`);
    const readings = Object.entries(frame.readings ?? {}).map(([name, value]) => `${name} ${value}`);
    const ms = raised ? Date.parse(frame.received) - Date.parse(raised.at) : 0;
    const offset = raised ? ` (${(Math.abs(ms) / 1000).toFixed(1)} s ${ms > 0 ? "after" : "before"} the alarm)` : "";
    words.textContent = [`${clock(frame.received)}${offset}`, ...flags, ...readings, frame.unjudged && `not judged: ${frame.unjudged}`, frame.late && "late"].filter(Boolean).join(" · ");
  }
  const dialog = ask(`Evidence of ${raised?.alarm ?? occurrence}`,
    !found.whole && el("p", { class: "unknown" }, `Not whole: ${found.why || "it is still being written, or pictures were left out"}`),
    picture, words, el("label", { for: "frame" }, `Picture, 1 to ${frames.length}`), slider, ...charts,
    el("div", { class: "doing" }, el("button", { type: "button", onclick: () => dialog.close() }, "Close"), el("a", { class: "button", href: `api/${base}/zip`, download: true }, "All as a zip")));
  slider.focus();
  show();
}
