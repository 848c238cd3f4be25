// Plays the operator of edge-page in a real browser, by keyboard alone; judges every screen with axe-core at three sizes, light and dark.
// At the end it kills the broker, and looks at what is still shown as known.
// node drive_page.mjs FOLDER_WITH_NODE_MODULES CHROMIUM URL USER PASSWORD WORDS_OF_THE_ALARM FOLDER_FOR_PICTURES PID_OF_THE_BROKER
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [folder, chromium, url, user, password, words, pictures, broker] = process.argv.slice(2);
const require = createRequire(folder + "/");
const playwright = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 }, room: { width: 2560, height: 1440 } };
const SCREENS = ["alarms", "flags", "cameras", "history", "nodes"];
const LOOKS = [["phone", "light"], ["room", "dark"], ["phone", "dark"]];
const quiet = ["gpu", "quic", "background-networking", "component-update", "sync"].map((name) => "--disable-" + name);
const browser = await playwright.chromium.launch({ executablePath: chromium, args: ["--no-sandbox", "--no-first-run", ...quiet] });
const context = await browser.newContext({ viewport: SIZES.desk, reducedMotion: "reduce" });
const page = await context.newPage();
page.setDefaultTimeout(60000);
const told = { errors: [], requests: [], serious: [], wide: [] };
page.on("console", (message) => message.type() === "error" && told.errors.push(message.text()));
page.on("pageerror", (error) => told.errors.push(String(error)));
page.on("request", (request) => told.requests.push(new URL(request.url()).origin));

// Tab until what has the focus is named so.
async function reach(pattern, most = 80) {
  for (let count = 0; count < most; count += 1) {
    const name = await page.evaluate(() => {
      const at = document.activeElement;
      return at?.getAttribute("aria-label") ?? at?.labels?.[0]?.textContent ?? at?.textContent ?? "";
    });
    if (pattern.test(name.trim())) return name.trim();
    await page.keyboard.press("Tab");
  }
  throw new Error(`no focus on ${pattern} in ${most} steps`);
}

async function judge(name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) told.wide.push(`${name}: ${wide} px`);
  await page.evaluate(axe).catch(() => page.addScriptTag({ content: axe }));
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, nodes } of found.violations) {
    if (["serious", "critical"].includes(impact)) told.serious.push(`${name}: ${id}: ${nodes.slice(0, 2).map((node) => `${node.html.slice(0, 120)} ${node.failureSummary.slice(0, 200)}`).join(" | ")}`);
  }
  await page.screenshot({ path: `${pictures}/page-${name}.png` });
}

try {
  const began = Date.now();
  await page.goto(url, { waitUntil: "load" });
  told.loadMs = Date.now() - began;
  await judge("login");
  await reach(/^Name/);
  await page.keyboard.type(user);
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.getByText(words).first().waitFor();
  await reach(new RegExp(`^Acknowledge: ${words}`));
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await judge("acknowledge");
  await reach(/^Not said|^The fault was there/);
  await page.keyboard.press("ArrowDown");
  await reach(/^Comment/);
  await page.keyboard.type("seen from the keyboard");
  await reach(/^Acknowledge$/);
  await page.keyboard.press("Enter");
  told.answer = await page.locator("#says p").filter({ hasText: "done" }).innerText();
  await page.locator("dialog[open]").waitFor({ state: "detached" }).catch(() => page.locator("dialog:not([open])").waitFor({ state: "attached" }));
  await reach(new RegExp(`^Details: ${words}`));
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await judge("details");
  await page.keyboard.press("Escape");
  await page.locator("dialog:not([open])").waitFor({ state: "attached" });
  told.back = await reach(new RegExp(`^Details: ${words}`), 1); // the focus is where it was
  for (const screen of SCREENS) {
    await page.evaluate(() => document.getElementById("skip").focus());
    await reach(new RegExp(`^${screen}$`, "i"));
    await page.keyboard.press("Enter");
    await page.locator(`nav a[aria-current="page"][href="#${screen}"]`).waitFor();
    await page.waitForTimeout(500);
    for (const [size, colorScheme] of LOOKS) {
      await page.setViewportSize(SIZES[size]);
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await judge(`${screen}-${size}-${colorScheme}`);
    }
    await page.setViewportSize(SIZES.desk);
  }
  await page.evaluate(() => document.getElementById("skip").focus());
  await reach(/^Alarms$/);
  await page.keyboard.press("Enter");
  await page.locator("li.alarm").first().waitFor();
  told.known = await page.locator("li.alarm:not(.is-unknown)").count();
  if (broker) {
    process.kill(Number(broker), "SIGKILL");
    await page.getByText(/Everything is unknown since/).waitFor();
    await page.waitForTimeout(1500);
    told.lost = {
      known: await page.locator("li.alarm:not(.is-unknown)").count(),
      lit: await page.locator(".is-lit").count(),
      enabled: await page.locator("li.alarm button:not([disabled])").filter({ hasNotText: "Details" }).count(),
      title: await page.title(),
    };
    await judge("lost");
  }
  told.requests = [...new Set(told.requests)];
  console.log(JSON.stringify(told));
} catch (error) {
  console.error(String(error), JSON.stringify(told), "\nThe page says:", await page.locator("body").innerText().catch(() => "nothing"));
  await page.screenshot({ path: `${pictures}/page-failed.png` }).catch(() => {});
  process.exitCode = 1;
} finally {
  await browser.close();
}
