// A backtest of a bundle over pictures that were recorded, and a slider: how many alarms another threshold would have raised.
import { el, number, say, svg, text } from "./dom.js";
import { api } from "./store.js";
import { jobTable, jobView, reportLink } from "./jobs.js";
import { field, fill } from "./sort.js";

const WIDTH = 600;
const HEIGHT = 160;
const LEAST_DAYS = 1 / 24; // below, a rate a day would be an invention

export function backtestScreen(main) {
  const parts = {
    bundle: el("select", { id: "b-bundle" }), source: el("select", { id: "b-source" }), jobs: el("div"), none: el("p", { class: "soft" }), curves: el("div"),
  };
  const view = jobView((about) => {
    load().catch((error) => say(error.message, true));
    if (about.status === "done" && about.kind === "backtest") curves(about);
  });
  main.append(el("h2", {}, "Backtest"), el("p", { class: "soft" }, "What a bundle would have raised over recorded pictures. Take other days than those of its build. A threshold comes from a build; the slider shows what it costs, and pictures that a threshold is chosen by prove nothing about it."),
    el("div", { class: "row" }, field("Bundle", parts.bundle), field("Pictures of", parts.source), el("button", { type: "button", onclick: begin }, "Backtest")), parts.none, view.box, parts.curves, el("h2", {}, "Backtests"), parts.jobs);

  async function begin() {
    try {
      const { job } = await api("workshop/jobs", { kind: "backtest", bundle: parts.bundle.value, source: parts.source.value });
      parts.curves.replaceChildren();
      view.follow(job);
    } catch (error) {
      say(error.message, true);
    }
  }

  async function curves(job) {
    try {
      const { title, faults } = await api(`workshop/jobs/${job.job}/thresholds`);
      parts.curves.replaceChildren(el("h2", {}, `Thresholds of ${title} over ${job.source}`), ...(faults.length ? faults.map(curve) : [el("p", {}, "No fault of a camera had a flag here: there is no threshold to choose.")]));
    } catch (error) {
      say(error.message, true);
    }
  }

  async function load() {
    const state = await api("workshop");
    fill(parts.bundle, state.bundles.map((name) => [name, name]));
    fill(parts.source, state.sources.map(({ id }) => [id, id]));
    text(parts.none, state.bundles.length ? "" : "No bundle lies here yet: build one, or put one into the folder workshop.bundles.");
    const jobs = state.jobs.filter(({ kind }) => kind === "backtest");
    const look = (job) => [
      job.status === "done" && el("button", { type: "button", "aria-label": `Thresholds of ${job.job}`, onclick: () => curves(job) }, "Thresholds"),
      el("button", { type: "button", "aria-label": `Output of ${job.job}`, onclick: () => view.follow(job.job) }, "Output"), reportLink(job),
    ].filter(Boolean);
    parts.jobs.replaceChildren(jobs.length ? jobTable(jobs, look) : el("p", { class: "soft" }, "None yet."));
    return state;
  }

  load().then((state) => {
    const running = state.jobs.find(({ job, kind }) => job === state.running && kind === "backtest");
    if (running) view.follow(running.job);
  }).catch((error) => say(error.message, true));
  return () => {};
}

// One fault: the slider, what it means in words, and the curve of alarms over thresholds.
function curve({ id, title, threshold, days, flags, unknown, armed, rows }) {
  const thresholds = [...new Set(rows.map(([value]) => value))];
  const delays = [...new Set(rows.map(([, delay]) => delay))];
  const isRate = days >= LEAST_DAYS;
  const at = (value, delay) => rows.find((row) => row[0] === value && row[1] === delay);
  const shown = (row) => (isRate ? row[2] / days : row[2]);
  const slider = el("input", { id: `t-${id}`, type: "range", min: 0, max: Math.max(0, thresholds.length - 1), step: 1, value: Math.max(0, thresholds.indexOf(threshold)) });
  const delay = el("select", { id: `d-${id}` }, ...delays.map((value) => el("option", { value }, `${value} s`)));
  const said = el("p", { class: "verdict", role: "status" });
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "chart sweep", role: "img" });
  const scale = el("p", { class: "soft" });

  function rate(row) {
    const plural = row[2] === 1 ? "alarm" : "alarms";
    return isRate ? `${row[2]} ${plural}, ${shown(row).toFixed(1)} a day (${row[3].toFixed(1)} to ${row[4].toFixed(1)})` : `${row[2]} ${plural}`;
  }

  function draw() {
    const seconds = Number(delay.value);
    const chosen = thresholds[Number(slider.value)];
    const here = thresholds.map((value) => at(value, seconds));
    const top = Math.max(1, ...here.map(shown));
    const first = Math.min(...thresholds);
    const span = Math.max(1e-9, Math.max(...thresholds) - first);
    const across = (value) => (((value - first) / span) * WIDTH).toFixed(1);
    const up = (value) => (HEIGHT - 4 - (value / top) * (HEIGHT - 8)).toFixed(1);
    plot.setAttribute("aria-label", `alarms of ${title} over thresholds from ${number(first)} to ${number(first + span)}, at most ${top.toFixed(1)}`);
    plot.replaceChildren(
      svg("polyline", { points: here.flatMap((row, index) => [across(row[0]), across(thresholds[index + 1] ?? row[0])].map((x) => `${x},${up(shown(row))}`)).join(" ") }), // between two that were tried nothing is known
      svg("line", { class: "limit", x1: across(threshold), x2: across(threshold), y1: 0, y2: HEIGHT }),
      svg("line", { class: "chosen", x1: across(chosen), x2: across(chosen), y1: 0, y2: HEIGHT }));
    const now = at(threshold, seconds);
    slider.setAttribute("aria-valuetext", `threshold ${number(chosen)}: ${rate(at(chosen, seconds))}`);
    text(said, `Threshold ${number(chosen)}: ${rate(at(chosen, seconds))}. ${now ? `Now, ${number(threshold)}: ${rate(now)}.` : ""}`);
    text(scale, `From ${number(first)} to ${number(first + span)}; up to ${top.toFixed(1)} ${isRate ? "alarms a day" : "alarms"}. Broken line: the threshold now. ${flags} flags, ${unknown} unknown, ${days.toFixed(2)} days of watched time${isRate ? "" : ", too few for a rate a day"}.`);
  }

  slider.addEventListener("input", draw);
  delay.addEventListener("change", draw);
  const box = el("section", { class: "card", "aria-label": title }, el("h3", {}, `${title}${armed ? "" : ", not armed"}`));
  if (!rows.length) {
    box.append(el("p", { class: "soft" }, "Its rules decide too, so a threshold alone tells nothing."));
    return box;
  }
  box.append(el("div", { class: "row" }, field("Threshold", slider), field("Delay", delay)), said, plot, scale);
  draw();
  return box;
}
