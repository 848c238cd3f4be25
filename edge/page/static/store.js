// What the server told this browser, and whether it may still be believed. Nothing is shown as known that is not known now.

const SILENT_MS = 7000; // the server speaks every 2 s

export const store = {
  me: null,
  link: { up: false, link: -1, since: Date.now(), why: "waiting for the server" },
  nodes: {},
  entries: new Map(), // "node kind name" -> {node, kind, name, at, link, doc}
  points: new Map(), // "node channel" -> [[ms, score, quality], ...]
  events: [],
  heardMs: 0,
  lostMs: Date.now(),
  listeners: new Set(),
};

const POINTS = 600;
const EVENTS = 1000;
let source = null;
let drawing = false;

export function changed() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    for (const listener of store.listeners) listener();
  }, 100);
}

export function open(onOver) {
  close();
  source = new EventSource("api/live");
  source.addEventListener("begin", () => {
    heard();
    store.entries.clear();
    store.points.clear();
    store.events = [];
    store.nodes = {};
    changed();
  });
  source.addEventListener("pulse", heard);
  source.addEventListener("over", () => {
    close();
    onOver();
  });
  source.onmessage = (message) => {
    heard();
    take(JSON.parse(message.data));
    changed();
  };
  source.onerror = () => {
    if (source?.readyState !== EventSource.CLOSED) return; // it tries again by itself
    close();
    onOver();
  };
}

export function close() {
  source?.close();
  source = null;
}

function heard() {
  store.heardMs = performance.now();
  store.lostMs = Date.now();
}

function take(news) {
  store.link = news.link;
  store.nodes = news.nodes;
  for (const [node, kind, name, at, link, doc] of news.entries) {
    const key = `${node} ${kind} ${name}`;
    if (doc === null) store.entries.delete(key);
    else store.entries.set(key, { node, kind, name, at, link, doc });
  }
  for (const [node, channel, fresh] of news.points) {
    const key = `${node} ${channel}`;
    store.points.set(key, [...(store.points.get(key) ?? []), ...fresh].slice(-POINTS));
  }
  for (const [node, event] of news.events) store.events.push({ node, ...event });
  if (store.events.length > EVENTS) store.events.splice(0, store.events.length - EVENTS);
}

export function isServerThere() {
  return store.heardMs > 0 && performance.now() - store.heardMs < SILENT_MS;
}

// null: it is known. Else since when and why it is not.
export function doubt(entry) {
  if (!isServerThere()) return { since: store.lostMs, why: "the page's server does not answer" };
  if (!store.link.up) return { since: store.link.since, why: `broker lost: ${store.link.why}` };
  const node = store.nodes[entry.node];
  if (!node?.alive) return { since: node?.since ?? store.link.since, why: node?.why ?? "nothing was heard of it" };
  if (entry.link !== store.link.link) return { since: store.link.since, why: "not heard again since the broker came back" };
  return null;
}

export function of(kind, node = null) {
  const found = [];
  for (const entry of store.entries.values()) {
    if (entry.kind === kind && (node === null || entry.node === node)) found.push(entry);
  }
  return found;
}

export function get(node, kind, name = "") {
  return store.entries.get(`${node} ${kind} ${name}`);
}

export function may(verb) {
  return store.me?.verbs.includes(verb) ?? false;
}

export async function api(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": store.me?.csrf ?? "" },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(`api/${path}`, { ...options, credentials: "same-origin", cache: "no-store" });
  } catch {
    throw new Error("the page's server does not answer");
  }
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(document.error ?? `answer ${answer.status}`), { status: answer.status });
  return document;
}
