// From sorted pictures to a bundle: how people say each fault, what would be armed, the build and its report.
import { clock, el, say, text } from "./dom.js";
import { api } from "./store.js";
import { jobTable, jobView, reportLink } from "./jobs.js";
import { field } from "./sort.js";

const MOST_WORDS = 12;

export function buildScreen(main) {
  const parts = { counts: el("p"), where: el("p", { class: "soft" }), obstacle: el("p", { class: "unknown" }), faults: el("div", { class: "cards" }), jobs: el("div"), audit: el("div") };
  let made = 0;
  const view = jobView(() => load());
  const plan = el("button", { type: "button", onclick: () => begin("plan") }, "What would be armed");
  const build = el("button", { type: "button", onclick: () => begin("build") }, "Build");
  main.append(el("h2", {}, "Faults and their words"), el("p", { class: "soft" }, "One phrasing a line, as your people say it. The label is the folder of its pictures and does not change."),
    parts.faults, el("div", { class: "row" }, el("button", { type: "button", onclick: add }, "Another fault"), el("button", { type: "button", onclick: keep }, "Keep the words")),
    el("h2", {}, "Pictures"), parts.counts, parts.where, el("div", { class: "row" }, el("a", { class: "button", href: "api/workshop/zip", download: true }, "Fetch the sorted pictures")),
    el("h2", {}, "Plan and build"), parts.obstacle, el("div", { class: "row" }, plan, build), view.box,
    el("h2", {}, "Jobs"), parts.jobs, el("h2", {}, "Who did what"), parts.audit);

  function card({ label, title, words, pictures }) {
    made += 1;
    const inputs = {
      label: el("input", { id: `f-label-${made}`, maxlength: 64, pattern: "[a-z][a-z0-9_]*", autocomplete: "off", value: label, readonly: label !== "" }),
      title: el("input", { id: `f-title-${made}`, maxlength: 80, autocomplete: "off", value: title }),
      words: el("textarea", { id: `f-words-${made}`, rows: 4 }),
    };
    inputs.words.value = words.join("\n");
    const box = el("section", { class: "card", "aria-label": `fault ${label || "new"}` }, field("Label", inputs.label), field("Title", inputs.title), field("Words", inputs.words),
      el("p", { class: "soft" }, `${pictures} pictures`), el("button", { type: "button", "aria-label": `Remove ${label || "the new fault"}`, onclick: () => box.remove() }, "Remove"));
    box.inputs = inputs;
    return box;
  }

  function add() {
    const box = card({ label: "", title: "", words: [], pictures: 0 });
    parts.faults.append(box);
    box.inputs.label.focus();
  }

  async function keep() {
    const faults = [...parts.faults.children].map(({ inputs }) => ({
      label: inputs.label.value.trim(), title: inputs.title.value.trim(), words: inputs.words.value.split("\n").map((line) => line.trim()).filter(Boolean).slice(0, MOST_WORDS),
    }));
    try {
      await api("workshop/faults", { faults });
      say("The words are kept");
      await load(true);
      return true;
    } catch (error) {
      say(error.message, true);
      return false;
    }
  }

  async function begin(kind) {
    if (!(await keep())) return;
    try {
      const { job } = await api("workshop/jobs", { kind });
      view.follow(job);
      load();
    } catch (error) {
      say(error.message, true);
    }
  }

  async function load(isFresh = false) {
    const state = await api("workshop");
    if (isFresh || !parts.faults.children.length) parts.faults.replaceChildren(...state.faults.map(card));
    text(parts.counts, [`${state.normal} normal`, ...state.faults.map(({ title, pictures }) => `${pictures} ${title}`), `${state.unsure} unsure, which no build takes`].join(", "));
    text(parts.where, `On this machine: ${state.folder}. Board: ${state.board || "none, set workshop.board in page.toml"}. ${state.checkpoint ? "" : "No checkpoint: set workshop.checkpoint in page.toml (docs/checkpoints.md)."}`);
    text(parts.obstacle, state.obstacle);
    build.disabled = Boolean(state.obstacle);
    const jobs = state.jobs.filter(({ kind }) => kind !== "backtest");
    parts.jobs.replaceChildren(jobs.length ? jobTable(jobs, (job) => [look(job), reportLink(job)].filter(Boolean)) : el("p", { class: "soft" }, "None yet."));
    parts.audit.replaceChildren(el("ul", {}, ...state.audit.slice(0, 12).map((note) => el("li", {}, `${clock(note.at)} ${note.user}: ${note.what} ${note.detail}`))));
    return state;
  }

  function look(job) {
    return el("button", { type: "button", "aria-label": `Output of ${job.job}`, onclick: () => view.follow(job.job) }, "Output");
  }

  load().then((state) => {
    const running = state.jobs.find(({ job, kind }) => job === state.running && kind !== "backtest");
    if (running) view.follow(running.job);
  }).catch((error) => say(error.message, true));
  return () => {};
}
