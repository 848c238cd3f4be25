// Flags, cameras, history and nodes.
import { age, clock, el, keyed, number, say, text } from "./dom.js";
import { api, doubt, get, may, of, store } from "./store.js";
import { chart, draw } from "./chart.js";
import { showEvidence } from "./evidence.js";
import { inspectionTable, profileWords, updateInspections } from "./inspections.js";

const SPAN_MS = 5 * 60 * 1000;
const FOLLOW_MS = 3000;
const FOLLOW_TIMES = 20;
const NE107 = { G: "good", M: "maintenance required", S: "out of specification", C: "function check", F: "failure" };

function since(unknown) {
  return `unknown since ${clock(unknown.since)}: ${unknown.why}`;
}

export function flagScreen(main) {
  const list = el("ul", { class: "cards" });
  const empty = el("p", { class: "soft" });
  main.append(el("h2", {}, "Flags, the last five minutes"), empty, list);
  return () => {
    const channels = of("meta").flatMap((meta) => meta.doc.channels.map((channel) => ({ node: meta.node, channel, meta })));
    text(empty, channels.length ? "" : "No node has said yet what it watches: nothing is known.");
    keyed(list, channels, ({ node, channel }) => `${node} ${channel.id}`, makeFlag, updateFlag);
  };
}

function makeFlag({ channel }) {
  const card = el("li", { class: "card" });
  card.parts = { title: el("h3"), verdict: el("p", { class: "verdict" }), facts: el("p", { class: "soft" }), chart: chart([], null, `score of ${channel.title} over the last five minutes`) };
  card.append(el("div", { class: "head" }, card.parts.title, card.parts.verdict), card.parts.facts, card.parts.chart);
  return card;
}

function updateFlag(card, { node, channel, meta }) {
  const flag = get(node, "flag", channel.id);
  const unknown = doubt(flag ?? meta) ?? (flag ? null : { since: meta.at, why: "no verdict was heard yet" });
  const on = flag?.doc.on;
  const isUnknown = Boolean(unknown) || on == null;
  card.className = `card ${isUnknown ? "is-unknown" : on ? "is-fault" : ""}`;
  text(card.parts.title, channel.title);
  const isLeftOut = channel.held === false;
  text(card.parts.verdict, unknown ? since(unknown) : isLeftOut ? "not watched: the profile leaves it out" : on == null ? `unknown: ${flag.doc.q}` : on ? "FAULT" : "no fault");
  const points = store.points.get(`${node} ${channel.id}`) ?? [];
  const score = points.at(-1)?.[1];
  const from = [node, channel.camera, channel.region, ...channel.rules].filter(Boolean).join(", ");
  const limit = channel.threshold == null ? "" : `, limit ${number(channel.threshold)}`;
  text(card.parts.facts, `${from}. ${score == null ? "No score" : `Score ${number(score)}${limit}`}${channel.armed ? "" : ". Not armed: it raises no alarm"}`);
  card.parts.chart.toggleAttribute("hidden", points.every(([, value]) => value == null));
  if (!card.parts.chart.hasAttribute("hidden")) draw(card.parts.chart, points, channel.threshold, SPAN_MS, Math.max(points.at(-1)[0], unknown ? 0 : Date.now()));
}

export function cameraScreen(main) {
  const list = el("ul", { class: "cards" });
  const empty = el("p", { class: "soft" });
  main.append(el("h2", {}, "Cameras"), el("p", { class: "soft" }, "A picture is sent only where the site allows it (snapshot = true of a camera). Each one asked for is in the journal."), empty, list);
  return () => {
    const cameras = of("heartbeat").flatMap((beat) => Object.entries(beat.doc.cameras).map(([camera, facts]) => ({ beat, camera, facts })));
    text(empty, cameras.length ? "" : "No camera was heard of yet.");
    keyed(list, cameras, ({ beat, camera }) => `${beat.node} ${camera}`, makeCamera, updateCamera);
  };
}

function makeCamera({ beat, camera }) {
  const card = el("li", { class: "card" });
  card.parts = { state: el("p", { class: "verdict" }), facts: el("p", { class: "soft" }), shown: el("div"), inspections: inspectionTable(camera) };
  const doing = el("div", { class: "row" });
  if (may("snapshot")) {
    doing.append(
      el("button", { type: "button", onclick: () => takePicture(card, beat.node, camera) }, "Show a picture"),
      el("button", { type: "button", onclick: () => follow(card, beat.node, camera) }, "Follow for a minute"));
  }
  card.append(el("h3", {}, `${camera} of ${beat.node}`), card.parts.state, card.parts.facts, doing, card.parts.shown, card.parts.inspections);
  return card;
}

function updateCamera(card, { beat, camera, facts }) {
  const unknown = doubt(beat);
  card.className = `card ${unknown || facts.blind_now ? "is-unknown" : ""}`;
  text(card.parts.state, unknown ? since(unknown) : facts.blind_now ? "no verdict in its budget now" : "sees");
  const kind = facts.picture ? `${facts.picture.width} x ${facts.picture.height} px${facts.picture.changed ? ", changed: to be accepted" : ""}. ` : "";
  text(card.parts.facts, `${kind}${facts.fps_in.toFixed(1)} pictures a second, ${facts.misses} verdicts late of ${facts.verdicts}. Newest ${facts.frame_age_ms == null ? "-" : age(facts.frame_age_ms)} old.`);
  updateInspections(card.parts.inspections, beat.node, camera, facts);
}

async function takePicture(card, node, camera) {
  try {
    const reply = await api("command", { node, verb: "snapshot", camera });
    if (!reply.ok) {
      say(`Refused, ${reply.code.replaceAll("_", " ")}: ${reply.detail}`, true);
      return false;
    }
    const { sha256, received, age_ms: old } = reply.snapshot;
    card.parts.shown.replaceChildren(el("img", { class: "picture", src: `api/pictures/${sha256}`, alt: `Picture of ${camera}, received ${clock(received)}` }), el("p", { class: "soft" }, `Received ${clock(received)}, ${(old / 1000).toFixed(1)} s old when it was sent`));
    return true;
  } catch (error) {
    say(error.message, true);
    return false;
  }
}

async function follow(card, node, camera) {
  if (card.following) return;
  card.following = true;
  for (let count = 0; count < FOLLOW_TIMES && card.isConnected; count += 1) {
    if (!(await takePicture(card, node, camera))) break;
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
  }
  card.following = false;
}

export function historyScreen(main) {
  const fields = {};
  const field = (name, label, kind = "text") => el("div", {}, el("label", { for: `h-${name}` }, label), (fields[name] = el("input", { id: `h-${name}`, type: kind, autocomplete: "off" })));
  const body = el("tbody");
  const said = el("p", { class: "soft", role: "status" });
  const csv = el("a", { class: "button", href: "api/history?form=csv", download: true }, "CSV");
  const query = () => {
    const wanted = new URLSearchParams();
    for (const [name, input] of Object.entries(fields)) {
      if (input.value) wanted.set(name, name === "since" ? new Date(input.value).toISOString() : input.value.trim());
    }
    return wanted;
  };
  const load = async () => {
    const wanted = query();
    csv.href = `api/history?form=csv&${wanted}`;
    try {
      const events = (await api(`history?${wanted}`)).reverse();
      text(said, `${events.length} events, newest first. The page keeps what it heard since it started; the device's journal holds more.`);
      body.replaceChildren(...events.slice(0, 500).map(eventRow));
    } catch (error) {
      say(error.message, true);
    }
  };
  const form = el("form", { class: "row" }, field("node", "Node"), field("subject", "Alarm or command"), field("user", "User"), field("since", "Since", "datetime-local"),
    el("button", { type: "submit" }, "Show"), csv, may("replay") && el("button", { type: "button", onclick: () => askJournals(load) }, "Ask the devices for their journals"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    load();
  });
  main.append(el("h2", {}, "History"), form, said, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "events" },
    el("table", {}, el("thead", {}, el("tr", {}, ...["Time", "Node", "Subject", "What", "User", "Detail", ""].map((words) => el("th", { scope: "col" }, words || el("span", { class: "soft" }, "Evidence"))))), body)));
  load();
  return () => {};
}

function eventRow(event) {
  const has = event.occurrence_id && store.me?.evidence.includes(event.node) && event.what.endsWith("UNACK_ALM");
  const button = has && el("button", { type: "button", "aria-label": `Show evidence of ${event.subject}, ${clock(event.ts)}`, onclick: () => showEvidence(event.node, event.occurrence_id) }, "Show");
  return el("tr", {}, ...[clock(event.ts), event.node, event.subject, event.what, event.user ?? "", event.detail].map((words) => el("td", {}, words)), el("td", {}, button || ""));
}

async function askJournals(load) {
  for (const node of Object.keys(store.nodes).filter((name) => store.nodes[name].alive)) {
    try {
      const reply = await api("command", { node, verb: "replay" });
      say(reply.ok ? `${node} sends its journal again` : `${node}: refused, ${reply.detail}`, !reply.ok);
    } catch (error) {
      say(`${node}: ${error.message}`, true);
    }
  }
  setTimeout(load, 1500);
}

export function nodeScreen(main) {
  const list = el("ul", { class: "cards" });
  const empty = el("p", { class: "soft" });
  main.append(el("h2", {}, "Nodes"), empty, list);
  return () => {
    const nodes = Object.keys(store.nodes).sort();
    text(empty, nodes.length ? "" : "No node was heard of yet.");
    keyed(list, nodes, (node) => node, makeNode, updateNode);
  };
}

function makeNode(node) {
  const card = el("li", { class: "card" });
  card.parts = { verdict: el("p", { class: "verdict" }), list: el("dl") };
  card.append(el("h3", {}, node), card.parts.verdict, card.parts.list);
  return card;
}

function updateNode(card, node) {
  const state = get(node, "state");
  const beat = get(node, "heartbeat")?.doc;
  const unknown = doubt(state ?? { node, link: -1 });
  const isGood = !unknown && state.doc.ne107 === "G";
  card.className = `card ${unknown ? "is-unknown" : isGood ? "" : "is-fault"}`;
  text(card.parts.verdict, unknown ? since(unknown) : [NE107[state.doc.ne107], ...state.doc.reasons].join(", "));
  const rows = [["Bundle", state?.doc.model ? `${state.doc.model.name} version ${state.doc.model.version}` : "-"], ["Version", state?.doc.version ?? "-"]];
  const profile = profileWords(node);
  if (profile) rows.push(["Profile", profile]);
  if (beat) {
    rows.push(["Running for", age(beat.uptime_s * 1000)], ["Alarms in 10 minutes", `${beat.alarms.annunciated_10_min} (goal: about 1)${beat.alarms.flood ? ", FLOOD" : ""}`],
      ["Standing over a day", beat.alarms.standing.join(", ") || "none"], ["Journal", `${[beat.journal.storage, beat.journal.reason].filter(Boolean).join(" ")}, ${beat.journal.waiting} waiting`], ["Memory", `${beat.rss_mib.toFixed(0)} MiB`]);
  }
  const drawn = JSON.stringify(rows);
  if (card.drawn === drawn) return;
  card.drawn = drawn;
  card.parts.list.replaceChildren(...rows.flatMap(([name, value]) => [el("dt", { class: "soft" }, name), el("dd", {}, value)]));
}
