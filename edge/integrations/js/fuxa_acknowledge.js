// Runs once a second. What an operator acknowledged in FUXA's own alarm list is acknowledged at the device, by the occurrence that stood at
// the click; what was acknowledged elsewhere is acknowledged in FUXA; what FUXA shows as acknowledged although it was announced anew since
// then is taken from its list for a moment, so that it comes back unacknowledged.
// FUXA's driver publishes with QoS 0 and retained: the device hears the message once and ignores the copy that the broker keeps.
const AGAIN_MS = 5000; // without an effect by then, ask again
const GAP_MS = 4000; // long enough for FUXA, which looks once a second, to see that the last occurrence is over
await new Promise((done) => setTimeout(done, 500)); // FUXA writes its alarms on the second, and must not be interrupted there
const all = global[KEPT] || {};
const now = Date.now();
for (const shown of await $getAlarms()) {
  const [name] = shown.name.split("^~^");
  const kept = name.startsWith(NODE + "/") ? all[name.slice(NODE.length + 1)] : undefined;
  if (!kept) continue;
  const waits = kept.standing && !kept.acked;
  if (!waits && shown.toack === 1) {
    await $ackAlarm(shown.name);
  } else if (waits && shown.acktime > 0 && shown.acktime < kept.since) {
    if (now >= kept.gap) kept.gap = now + GAP_MS;
  } else if (waits && shown.acktime > 0 && now - kept.asked > AGAIN_MS) {
    kept.asked = now;
    const past = await $getAlarmsHistory(shown.ontime - 1000, now + 1000);
    const row = past.find((item) => item.name === name && item.acktime === shown.acktime && item.userack);
    await $setTag(
      COMMAND_TAG,
      JSON.stringify({
        schema: "edge.cmd/1",
        request_id: "fuxa-" + now + "-" + Math.random().toString(36).slice(2),
        issued_at: new Date(now).toISOString(),
        user: row ? String(row.userack).slice(0, 128) : "fuxa",
        comment: "acknowledged in FUXA",
        alarm_id: name.slice(NODE.length + 1),
        occurrence_id: kept.occurrence,
      }),
    );
  }
}
