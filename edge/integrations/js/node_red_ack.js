// Acknowledges the very occurrence that the page showed. Output 1: the command. Output 2: the browser goes back to the page.
const form = msg.payload || {};
const back = Object.assign({}, msg, { payload: "", statusCode: 303, headers: { Location: env.get("PAGE") } });
if (!form.alarm_id || !form.occurrence_id || !form.user) {
  return [null, Object.assign(back, { payload: "alarm_id, occurrence_id and user are needed", statusCode: 400, headers: {} })];
}
const command = {
  schema: "edge.cmd/1",
  request_id: RED.util.generateId() + RED.util.generateId(),
  issued_at: new Date().toISOString(),
  user: String(form.user).slice(0, 128),
  comment: String(form.comment || "").slice(0, 1000),
  alarm_id: String(form.alarm_id),
  occurrence_id: String(form.occurrence_id),
};
return [{ topic: env.get("PREFIX") + "/cmd/ack", payload: command }, back];
