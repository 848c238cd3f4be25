// A score over time against its threshold, drawn here: a line, a broken line for the limit, and marks where nothing is known.
import { svg } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 100;

export function chart(points, threshold, label) {
  const box = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "chart", role: "img", "aria-label": label });
  draw(box, points, threshold);
  return box;
}

export function draw(box, points, threshold, spanMs = 0, now = 0) {
  const last = now || (points.at(-1)?.[0] ?? 0);
  const first = spanMs ? last - spanMs : points[0]?.[0] ?? 0;
  const across = (ms) => ((ms - first) / Math.max(1, last - first)) * WIDTH;
  const up = (score) => HEIGHT - Math.min(1, Math.max(0, score)) * HEIGHT;
  const parts = [];
  let line = [];
  const finish = () => {
    if (line.length) parts.push(svg("polyline", { points: line.join(" ") }));
    line = [];
  };
  points.forEach(([ms, score, quality], index) => {
    const next = points[index + 1]?.[0] ?? last;
    if (next < first) return;
    const x = across(Math.max(ms, first));
    if (score === null || quality !== "good") {
      finish();
      parts.push(svg("rect", { class: "gap", x: x.toFixed(1), y: 0, width: Math.max(1, across(next) - x).toFixed(1), height: HEIGHT }));
    } else {
      line.push(`${x.toFixed(1)},${up(score).toFixed(1)}`);
      if (index === points.length - 1) line.push(`${across(last).toFixed(1)},${up(score).toFixed(1)}`);
    }
  });
  finish();
  if (threshold != null) parts.push(svg("line", { class: "limit", x1: 0, x2: WIDTH, y1: up(threshold), y2: up(threshold) }));
  box.replaceChildren(...parts);
}
