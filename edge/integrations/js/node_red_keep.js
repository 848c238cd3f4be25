// Keeps the newest message of each alarm, and says how many wait for somebody. An alarm's newest message has the highest (epoch, seq).
const HIDDEN = ["SHELVED", "SUPPRESSED", "OOS"];
const alarm = msg.payload;
const alarms = flow.get("alarms") || {};
const known = alarms[alarm.id];
if (known && (alarm.epoch < known.epoch || (alarm.epoch === known.epoch && alarm.seq < known.seq))) {
  return null;
}
alarms[alarm.id] = alarm;
flow.set("alarms", alarms);
const waiting = Object.values(alarms).filter((item) => !item.acked && !HIDDEN.includes(item.state));
node.status({
  fill: waiting.length ? "red" : "green",
  shape: "dot",
  text: waiting.length ? waiting.map((item) => item.id).join(", ") : "nothing to acknowledge",
});
return msg;
