// Reads an AsyncAPI document with the specification's own parser and prints what it finds as JSON.
// node check_asyncapi.mjs FOLDER_WITH_NODE_MODULES DOCUMENT
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, path] = process.argv.slice(2);
const { Parser } = createRequire(folder + "/")("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(path, "utf8"));
console.log(
  JSON.stringify({
    valid: document !== undefined,
    version: document?.version(),
    operations: document?.allOperations().length,
    messages: document?.allMessages().length,
    diagnostics: diagnostics.map((item) => ({ severity: item.severity, code: item.code, message: item.message })),
  }),
);
