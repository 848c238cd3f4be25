// A bundle goes live on trial, stays or is taken back; and what the daemon said of it.
import { ask, clock, el, keyed, say, text } from "./dom.js";
import { api, doubt, get, of, store } from "./store.js";

export function liveScreen(main) {
  const list = el("ul", { class: "cards" });
  const empty = el("p", { class: "soft" });
  const names = el("datalist", { id: "bundle-names" });
  main.append(el("h2", {}, "Live"), el("p", { class: "soft" }, "The daemon proves a bundle beside the running one, exchanges them between two frames, and takes it back by itself when frames come late."), names, empty, list);
  if (store.me.workshop) api("workshop").then(({ bundles }) => names.replaceChildren(...bundles.map((value) => el("option", { value })))).catch((error) => say(error.message, true));
  return () => {
    const nodes = of("state").map(({ node }) => node).sort();
    text(empty, nodes.length ? "" : "No node was heard of yet.");
    keyed(list, nodes, (node) => node, makeNode, updateNode);
  };
}

function makeNode(node) {
  const card = el("li", { class: "card" });
  const input = { bundle: el("input", { id: `l-bundle-${node}`, list: "bundle-names", maxlength: 128, autocomplete: "off" }), weaker: el("input", { id: `l-weaker-${node}`, autocomplete: "off" }), comment: el("input", { id: `l-comment-${node}`, maxlength: 300, autocomplete: "off" }) };
  card.parts = { now: el("p", { class: "verdict" }), events: el("ul", { class: "list" }), buttons: [] };
  const label = (name, words) => el("label", { for: `l-${name}-${node}` }, words);
  const live = el("button", { type: "button", onclick: () => confirm(node, input, true) }, "Put live on trial");
  const back = el("button", { type: "button", onclick: () => confirm(node, input, false) }, "Take back");
  card.parts.buttons = [live, back];
  card.append(el("h3", {}, node), card.parts.now, label("bundle", "Bundle, a folder beside the running one"), input.bundle, label("comment", "Why"), input.comment,
    label("weaker", "Faults that may be watched less closely, with commas between"), input.weaker, el("div", { class: "row" }, live, back), el("h3", {}, "What happened"), card.parts.events);
  return card;
}

function updateNode(card, node) {
  const state = get(node, "state");
  const unknown = doubt(state);
  card.className = `card ${unknown ? "is-unknown" : ""}`;
  const model = state.doc.model ? `${state.doc.model.name} version ${state.doc.model.version}` : "no bundle";
  text(card.parts.now, unknown ? `unknown since ${clock(unknown.since)}: ${unknown.why}` : `${model} runs`);
  for (const button of card.parts.buttons) button.disabled = Boolean(unknown);
  const found = store.events.filter((event) => event.node === node && (event.subject === "reload" || event.what.startsWith("reload"))).slice(-6).reverse();
  keyed(card.parts.events, found, ({ epoch, seq }) => `${epoch} ${seq}`, (event) => el("li", {}, told(event)), () => {});
}

function told({ ts, subject, what, user, detail }) {
  const words = subject === "reload" ? `asked by ${user ?? "-"}, ${what.replaceAll("_", " ")}` : what;
  return `${clock(ts)} ${words}${detail ? `: ${detail.replace(/^[: ]+/, "")}` : ""}`;
}

function confirm(node, input, isNew) {
  const bundle = input.bundle.value.trim();
  if (isNew && !bundle) {
    say("Name the bundle's folder first.", true);
    input.bundle.focus();
    return;
  }
  const weaker = input.weaker.value.split(",").map((name) => name.trim()).filter(Boolean);
  const dialog = ask(isNew ? `Put ${bundle} live on ${node}` : `Take back on ${node}`,
    el("p", {}, isNew ? "It is on trial for 50 frames in time, a minute at most. If more come late than in time, or some without scores, what ran before runs again." : "The bundle that the site file names runs again, on trial too. After a restart it would run anyway."),
    weaker.length ? el("p", {}, `Watched less closely is accepted of: ${weaker.join(", ")}.`) : null,
    el("div", { class: "doing" },
      el("button", { type: "button", onclick: () => send(dialog, node, { ...(isNew ? { bundle } : {}), ...(weaker.length ? { weaker } : {}), comment: input.comment.value.trim() || undefined }) }, isNew ? "Put live" : "Take back now"),
      el("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
}

async function send(dialog, node, fields) {
  dialog.close();
  say(`${node} proves it beside what runs: this takes a while`);
  try {
    const reply = await api("command", { node, verb: "reload", ...fields });
    say(reply.ok ? `${node}: ${reply.detail}` : `${node} refused, ${reply.code.replaceAll("_", " ")}: ${reply.detail}`, !reply.ok);
  } catch (error) {
    say(`${node}: ${error.message}`, true);
  }
}
