// FUXA's alarms look at a number: 1 while our alarm stands in the operators' list, else 0. Called for every value, about once a second.
const STANDING = ["UNACK_ALM", "ACK_ALM", "RTN_UNACK", "LATCH_UNACK", "LATCH_ACK"];
let alarm;
try {
  alarm = JSON.parse(value);
} catch (error) {
  return null; // nothing heard yet
}
const all = (global[KEPT] = global[KEPT] || {});
const kept = (all[alarm.id] = all[alarm.id] || { occurrence: null, since: 0, gap: 0, asked: 0, acked: true });
const now = Date.now();
if (kept.occurrence !== alarm.occurrence_id || (kept.acked && !alarm.acked)) {
  kept.since = now; // announced anew: what was acknowledged before is not meant
  kept.asked = 0;
}
kept.occurrence = alarm.occurrence_id;
kept.acked = alarm.acked;
kept.standing = STANDING.includes(alarm.state);
return kept.standing && now >= kept.gap ? 1 : 0;
