// The toolchain's jobs as a browser sees them: one at a time, its output as it comes, what it left.
import { clock, el, say, text } from "./dom.js";
import { api } from "./store.js";

const EVERY_MS = 1000;

// Shows one job until it ends or the screen goes; `ended` is told its facts.
export function jobView(ended) {
  const status = el("p", { class: "verdict", role: "status" });
  const output = el("pre", { class: "output", tabindex: 0, role: "region", "aria-label": "output of the job" });
  const cancel = el("button", { type: "button", hidden: true, onclick: () => api("workshop/cancel", {}).catch((error) => say(error.message, true)) }, "Cancel");
  const missing = el("ul", { class: "unknown" });
  const box = el("section", { "aria-label": "job", hidden: true }, status, missing, el("div", { class: "row" }, cancel), output);
  let shown = null;

  async function follow(job) {
    shown = job;
    box.hidden = false;
    output.textContent = "";
    let from = 0;
    let isRunning = true;
    while (isRunning && shown === job) {
      try {
        const about = await api(`workshop/jobs/${job}/output?from=${from}`);
        from = about.end;
        isRunning = about.status === "running";
        const isAtEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 4;
        if (about.text) output.append(about.text);
        if (isAtEnd) output.scrollTop = output.scrollHeight;
        text(status, `${about.kind} of ${about.user}, ${clock(about.at)}: ${about.status}${about.why ? `, ${about.why}` : ""}`);
        cancel.hidden = !isRunning;
        const warnings = output.textContent.split("\n").filter((line) => line.startsWith("warning: ")).map((line) => line.slice(9));
        missing.replaceChildren(...[...new Set(warnings)].map((line) => el("li", {}, line)));
        if (!isRunning) ended(about);
      } catch (error) {
        if (error.status) throw error;
        text(status, `Unknown: ${error.message}`);
      }
      if (isRunning) await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      if (!box.isConnected) return;
    }
  }

  return { box, follow: (job) => follow(job).catch((error) => say(error.message, true)) };
}

// A table of jobs with what can be looked at.
export function jobTable(jobs, look) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "jobs" },
    el("table", {}, el("thead", {}, el("tr", {}, ...["Began", "What", "By", "Result", "Look"].map((words) => el("th", { scope: "col" }, words)))),
      el("tbody", {}, ...jobs.map((job) => el("tr", {},
        el("td", {}, clock(job.at)), el("td", {}, [job.kind, job.bundle, job.source].filter(Boolean).join(" ")), el("td", {}, job.user),
        el("td", {}, job.why ? `${job.status}: ${job.why}` : job.status), el("td", {}, el("div", { class: "row" }, ...look(job))))))));
}

export function reportLink(job) {
  if (job.status !== "done" || job.kind === "plan") return null;
  return el("a", { class: "button", href: `api/workshop/jobs/${job.job}/report`, target: "_blank", rel: "noopener", "aria-label": `Report of ${job.job}` }, "Report");
}
