// Keeps whether the daemon is there and how it is. The broker says offline for it when it vanishes.
const state = msg.payload;
flow.set("state", state);
const good = state.online && state.ne107 === "G";
node.status({
  fill: good ? "green" : state.online ? "yellow" : "red",
  shape: "dot",
  text: (state.online ? "online, NE 107 " + state.ne107 : "OFFLINE") + (state.reasons.length ? ": " + state.reasons.join("; ") : ""),
});
return msg;
