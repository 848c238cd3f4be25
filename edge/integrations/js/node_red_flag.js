// Keeps the newest verdict of each channel; null is "not known", never "no fault".
const flag = msg.payload;
const flags = flow.get("flags") || {};
flags[flag.ch] = flag;
flow.set("flags", flags);
node.status({ fill: flag.on ? "red" : flag.on === null ? "grey" : "green", shape: "ring", text: flag.ch + ": " + flag.verdict });
return msg;
