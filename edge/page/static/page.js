// The page: signing in, the screens, and what is always in sight.
import { age, clock, el, text } from "./dom.js";
import { alarmScreen, shape, unacknowledged } from "./alarms.js";
import { cameraScreen, flagScreen, historyScreen, nodeScreen } from "./screens.js";
import { backtestScreen } from "./backtest.js";
import { buildScreen } from "./build.js";
import { liveScreen } from "./live.js";
import { regionScreen } from "./region.js";
import { sortScreen } from "./sort.js";
import { api, changed, close, isServerThere, may, open, store } from "./store.js";

const SCREENS = { alarms: ["Alarms", alarmScreen], flags: ["Flags", flagScreen], cameras: ["Cameras", cameraScreen], history: ["History", historyScreen], nodes: ["Nodes", nodeScreen] };
const WORKSHOP = { sort: ["Sort", sortScreen], build: ["Build", buildScreen], backtest: ["Backtest", backtestScreen] };
const ENGINEER = { live: ["Live", liveScreen], region: ["Region", regionScreen] };
const PRIORITIES = ["Critical", "High", "Medium", "Low"];
const SIGN_MS = 60000;
const main = document.getElementById("main");
const top = document.getElementById("top");
let update = () => {};
let signedMs = 0;
let heardCount = 0;

function login(words = "") {
  close();
  store.me = null;
  top.hidden = true;
  document.getElementById("dialog").close();
  const bad = el("p", { class: "bad-words", role: "alert" }, words);
  const name = el("input", { id: "user", name: "user", autocomplete: "username", required: true, maxlength: 64 });
  const password = el("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true, maxlength: 256 });
  const button = el("button", { type: "submit" }, "Sign in");
  const form = el("form", { class: "login" }, el("h1", {}, "Sign in"), el("label", { for: "user" }, "Name"), name, el("label", { for: "password" }, "Password"), password, button, bad);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      begin(await api("login", { user: name.value, password: password.value }));
    } catch (error) {
      bad.textContent = error.message;
      password.value = "";
      password.focus();
    }
    button.disabled = false;
  });
  update = () => {};
  main.replaceChildren(form);
  name.focus();
}

function begin(me) {
  store.me = me;
  top.hidden = false;
  text(document.getElementById("title"), me.title);
  text(document.getElementById("who"), `${me.user}, ${me.role}`);
  open(() => reopen());
  route();
}

// The stream ended: the session may be over, or the server away for a moment.
async function reopen() {
  try {
    const me = await api("me");
    if (me.user) begin(me);
    else login("You were signed out.");
  } catch {
    setTimeout(reopen, 2000);
  }
}

function route() {
  if (!store.me) return;
  const screens = { ...SCREENS, ...(store.me.workshop ? WORKSHOP : {}), ...(may("reload") ? ENGINEER : {}) };
  const name = location.hash.slice(1) in screens ? location.hash.slice(1) : "alarms";
  const tabs = document.getElementById("tabs");
  tabs.replaceChildren(...Object.entries(screens).map(([key, [words]]) => el("li", {}, el("a", { href: `#${key}`, "aria-current": key === name && "page" }, words))));
  tabs.querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  main.replaceChildren();
  update = screens[name][1](main);
  refresh();
}

// A fault of this page itself must not look like a quiet plant.
function refresh() {
  try {
    show();
  } catch (error) {
    const link = document.getElementById("link");
    link.className = "lost";
    text(link, `This page failed, what it shows may be old: ${error.message}. Load it again.`);
    throw error;
  }
}

function show() {
  if (!store.me) return;
  const link = document.getElementById("link");
  const isUp = isServerThere() && store.link.up;
  const since = isServerThere() ? store.link.since : store.lostMs;
  const why = isServerThere() ? `broker lost (${store.link.why})` : "the page's server does not answer";
  link.className = isUp ? "" : "lost";
  text(link, isUp ? "Connected" : `Everything is unknown since ${clock(since)}, ${age(Date.now() - since)}: ${why}`);
  const counts = isUp ? unacknowledged() : {};
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const shown = JSON.stringify(counts);
  const place = document.getElementById("counts");
  if (place.shown !== shown) {
    place.shown = shown;
    place.replaceChildren(...PRIORITIES.filter((name) => counts[name]).map((name) => {
      const drawn = shape(name, true, false);
      drawn.setAttribute("width", "22");
      return el("span", { class: `p-${name.toLowerCase()}`, title: `${name}, not acknowledged` }, drawn, String(counts[name]), el("span", { class: "soft" }, name.toLowerCase()));
    }));
  }
  document.title = `${isUp ? (total ? `(${total}) ` : "") : "(?) "}${store.me.title}`;
  if (total !== heardCount) text(document.getElementById("heard"), `${total} alarm${total === 1 ? "" : "s"} to acknowledge`);
  heardCount = total;
  update();
}

// Signs of the user keep him signed in; the stream alone does not.
function sign() {
  if (!store.me || performance.now() - signedMs < SIGN_MS) return;
  signedMs = performance.now();
  api("me").then((me) => me.user || login("You were signed out.")).catch(() => {});
}

document.getElementById("logout").addEventListener("click", async () => {
  try {
    await api("logout", {});
  } catch {
    // the cookie is of no use without the server
  }
  login("You are signed out.");
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", route);
addEventListener("keydown", sign);
addEventListener("pointerdown", sign);
store.listeners.add(refresh);
setInterval(changed, 1000);
api("me").then((me) => (me.user ? begin(me) : login())).catch(() => login());
