// The operator's page: what stands, what to do about it, and a button that acknowledges the occurrence that is shown.
const ORDER = ["UNACK_ALM", "LATCH_UNACK", "RTN_UNACK", "ACK_ALM", "LATCH_ACK"];
const text = (value) =>
  String(value ?? "").replace(/[&<>"']/g, (sign) => "&#" + sign.charCodeAt(0) + ";");
const rank = (alarm) => (ORDER.indexOf(alarm.state) + 1 || ORDER.length + 1) * 1000 - alarm.severity;
const state = flow.get("state");
const flags = Object.values(flow.get("flags") || {});
const alarms = Object.values(flow.get("alarms") || {}).sort((one, other) => rank(one) - rank(other));
const reply = flow.get("reply");

const button = (alarm) =>
  `<form method="post" action="${text(env.get("PAGE"))}/ack">
   <input type="hidden" name="alarm_id" value="${text(alarm.id)}">
   <input type="hidden" name="occurrence_id" value="${text(alarm.occurrence_id)}">
   <input name="user" placeholder="who" required><input name="comment" placeholder="comment">
   <button>Acknowledge</button></form>`;
const row = (alarm) =>
  `<tr class="${text(alarm.state)}"><td>${text(alarm.state)}</td><td>${text(alarm.priority)}</td><td><b>${text(alarm.message)}</b><br>
   ${text(alarm.operator_action)}</td><td>${text(alarm.quality)}</td><td>${text(alarm.time.active)}</td>
   <td>${alarm.acked || !alarm.occurrence_id ? text(alarm.ack.user) : button(alarm)}</td></tr>`;

msg.headers = { "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store" };
msg.payload = `<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="15"><title>${text(env.get("NODE"))}</title>
<style>body{font-family:sans-serif;margin:1.5em}table{border-collapse:collapse}td,th{padding:.3em .7em;border-bottom:1px solid #ccc;text-align:left}
.UNACK_ALM{background:#f8c6c0}.RTN_UNACK,.LATCH_UNACK{background:#fde8b0}.ACK_ALM,.LATCH_ACK{background:#e6e6e6}form{margin:0}</style>
<h1>${text(env.get("NODE"))}: ${state ? (state.online ? "online, NE 107 " + text(state.ne107) : "OFFLINE") : "not heard of"}</h1>
<p>${state ? state.reasons.map(text).join("<br>") : ""}</p>
<p>${flags.map((flag) => `${text(flag.ch)}: <b>${text(flag.verdict)}</b>`).join(" &middot; ")}</p>
<table><tr><th>State</th><th>Priority</th><th>Alarm, and what to do</th><th>Quality</th><th>Since</th><th>Acknowledged by</th></tr>
${alarms.map(row).join("\n")}</table>
<p>${reply ? "Last answer: " + text(reply.code) + " " + text(reply.detail) : ""}</p>`;
return msg;
