// Watches the alarms of edge-page in a real browser during a flood: says "ready" when it sees none active; asked by a line of JSON with the messages
// of alarms, it ends when it shows exactly these as active.
// node drive_page_flood.mjs FOLDER_WITH_NODE_MODULES CHROMIUM URL USER PASSWORD
import { createInterface } from "node:readline";
import { launch } from "./browser.mjs";

const [folder, chromium, url, user, password] = process.argv.slice(2);
const browser = await launch(folder, chromium);
const page = await browser.newPage({ reducedMotion: "reduce" });
page.setDefaultTimeout(90000);
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));
try {
  await page.goto(url, { waitUntil: "load" });
  await page.fill("#user", user);
  await page.fill("#password", password);
  await page.keyboard.press("Enter");
  await page.locator("details li.alarm").first().waitFor({ state: "attached" });
  const before = await page.locator("li.alarm.is-on").count();
  console.log(JSON.stringify({ ready: true, before }));
  const expected = await new Promise((resolve) => createInterface({ input: process.stdin }).once("line", resolve));
  const shown = (wanted) => {
    const named = [...document.querySelectorAll("li.alarm.is-on.unacked .message")].map((node) => node.textContent);
    return JSON.stringify(named.sort()) === JSON.stringify(JSON.parse(wanted).sort());
  };
  await page.waitForFunction(shown, expected);
  console.log(JSON.stringify({ lit: await page.locator("li.alarm .is-lit").count(), errors }));
} catch (error) {
  console.error(String(error), errors, "\nThe page says:", await page.locator("main").innerText().catch(() => "nothing"));
  process.exitCode = 1;
} finally {
  await browser.close();
  process.stdin.destroy();
}
