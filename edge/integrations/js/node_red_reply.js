// Keeps the answer to the last command: ok, stale_occurrence, not_allowed, ...
const reply = msg.payload;
flow.set("reply", reply);
node.status({ fill: reply.ok ? "green" : "red", shape: "dot", text: reply.code + (reply.detail ? ": " + reply.detail : "") });
return msg;
