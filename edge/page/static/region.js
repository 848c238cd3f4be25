// A box on a camera's picture, by pointer or by numbers, as the block of a site file; the site file stays with whoever owns the device.
import { el, say, svg, text } from "./dom.js";
import { api, of, store } from "./store.js";
import { field, fill } from "./sort.js";

const SIDES = [["x", "Left, %"], ["y", "Top, %"], ["width", "Width, %"], ["height", "Height, %"]];
const FULL = 1000; // of the overlay's own coordinates

export function regionScreen(main) {
  const box = { x: 25, y: 25, width: 50, height: 50 };
  const inputs = Object.fromEntries(SIDES.map(([name]) => [name, el("input", { id: `r-${name}`, type: "number", min: 0, max: 100, step: 0.1, value: box[name] })]));
  const camera = el("select", { id: "r-camera" });
  const source = el("select", { id: "r-source" });
  const name = el("input", { id: "r-name", value: "region1", maxlength: 64, pattern: "[A-Za-z0-9_\\-]+", autocomplete: "off" });
  const picture = el("img", { class: "picture", alt: "picture to draw a box on", draggable: "false" });
  const frame = svg("rect", { class: "box" });
  const overlay = svg("svg", { viewBox: `0 0 ${FULL} ${FULL}`, preserveAspectRatio: "none", class: "overlay", "aria-hidden": "true" }, frame);
  const easel = el("div", { class: "easel", hidden: true }, picture, overlay);
  const size = el("p", { class: "soft", role: "status" });
  const block = el("textarea", { id: "r-block", rows: 5, readonly: true, class: "code" });
  const empty = el("p", { class: "soft" }, "Show a picture to draw on it. The numbers work without one.");
  main.append(el("h2", {}, "Region"), el("p", { class: "soft" }, "Draw a box, or write its numbers, and give the block to whoever keeps the site file (docs/regions.md)."),
    el("div", { class: "row" }, field("Camera", camera), el("button", { type: "button", onclick: snapshot }, "Show its picture"), store.me.workshop && field("Pictures of", source), store.me.workshop && el("button", { type: "button", onclick: recorded }, "Show a recorded one")),
    empty, easel, el("div", { class: "row" }, field("Name", name), ...SIDES.map(([key, words]) => field(words, inputs[key]))), size,
    field("For site.toml, below its [[cameras]]", block), el("div", { class: "row" }, el("button", { type: "button", onclick: copy }, "Copy")));

  function draw() {
    for (const [key] of SIDES) {
      frame.setAttribute(key, (box[key] / 100) * FULL);
      if (document.activeElement !== inputs[key]) inputs[key].value = box[key].toFixed(1);
    }
    const share = (key) => (box[key] / 100).toFixed(3);
    const pixels = picture.naturalWidth ? `${Math.round((box.width / 100) * picture.naturalWidth)} x ${Math.round((box.height / 100) * picture.naturalHeight)} px of ${picture.naturalWidth} x ${picture.naturalHeight}` : "";
    text(size, pixels);
    block.value = `[[cameras.regions]]\nid = "${name.value.replace(/[^A-Za-z0-9_-]/g, "_")}"\nbox = [${SIDES.map(([key]) => share(key)).join(", ")}]`;
  }

  // Inside the picture, and never a line.
  function set(wanted) {
    const within = (value, low, high) => Math.min(high, Math.max(low, Number.isFinite(value) ? value : low));
    box.x = within(wanted.x, 0, 99);
    box.y = within(wanted.y, 0, 99);
    box.width = within(wanted.width, 1, 100 - box.x);
    box.height = within(wanted.height, 1, 100 - box.y);
    draw();
  }

  for (const [key] of SIDES) {
    inputs[key].addEventListener("input", () => set({ ...box, [key]: Number(inputs[key].value) }));
    inputs[key].addEventListener("change", () => { inputs[key].value = box[key].toFixed(1); });
  }
  name.addEventListener("input", draw);
  picture.addEventListener("load", () => {
    easel.hidden = false;
    empty.hidden = true;
    draw();
  });

  let corner = null;
  const place = (event) => {
    const area = overlay.getBoundingClientRect();
    const share = (value, from, length) => Math.min(100, Math.max(0, ((value - from) / length) * 100));
    return [share(event.clientX, area.left, area.width), share(event.clientY, area.top, area.height)];
  };
  overlay.addEventListener("pointerdown", (event) => {
    corner = place(event);
    overlay.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  overlay.addEventListener("pointermove", (event) => {
    if (!corner) return;
    const [x, y] = place(event);
    set({ x: Math.min(x, corner[0]), y: Math.min(y, corner[1]), width: Math.abs(x - corner[0]), height: Math.abs(y - corner[1]) });
  });
  for (const kind of ["pointerup", "pointercancel"]) overlay.addEventListener(kind, () => { corner = null; });

  async function snapshot() {
    const [node, id] = JSON.parse(camera.value || "[]");
    if (!id) return;
    try {
      const reply = await api("command", { node, verb: "snapshot", camera: id });
      if (reply.ok) picture.src = `api/pictures/${reply.snapshot.sha256}`;
      else say(`Refused, ${reply.code.replaceAll("_", " ")}: ${reply.detail}`, true);
    } catch (error) {
      say(error.message, true);
    }
  }

  async function recorded() {
    try {
      const where = `workshop/pictures/${encodeURIComponent(source.value)}`;
      const found = [...(await api(where)), ...(await api(`${where}?label=normal`))];
      if (found.length) picture.src = `api/${where}/${found[0].id}`;
      else say("There is no picture.", true);
    } catch (error) {
      say(error.message, true);
    }
  }

  async function copy() {
    block.select();
    try {
      await navigator.clipboard.writeText(block.value);
      say("Copied");
    } catch {
      say("Marked: copy it with Ctrl-C");
    }
  }

  if (store.me.workshop) api("workshop").then(({ sources }) => fill(source, sources.map(({ id }) => [id, id]))).catch((error) => say(error.message, true));
  draw();
  return () => fill(camera, of("heartbeat").flatMap((beat) => Object.keys(beat.doc.cameras).map((id) => [JSON.stringify([beat.node, id]), `${id} of ${beat.node}`])));
}
