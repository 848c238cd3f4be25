// Plays the engineer of edge-page in a real browser, by keyboard alone; judges every screen with axe-core at three sizes, light and dark.
// node drive_page_engineer.mjs FOLDER_WITH_NODE_MODULES CHROMIUM URL USER PASSWORD FOLDER_FOR_PICTURES BUNDLE KIND_OF_JOB
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [folder, chromium, url, user, password, pictures, bundle, kind] = process.argv.slice(2);
const require = createRequire(folder + "/");
const playwright = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 }, room: { width: 2560, height: 1440 } };
const LOOKS = [["phone", "light"], ["room", "dark"], ["phone", "dark"], ["desk", "light"]];
const quiet = ["gpu", "quic", "background-networking", "component-update", "sync"].map((name) => "--disable-" + name);
const browser = await playwright.chromium.launch({ executablePath: chromium, args: ["--no-sandbox", "--no-first-run", ...quiet] });
const context = await browser.newContext({ viewport: SIZES.desk, reducedMotion: "reduce" });
const page = await context.newPage();
page.setDefaultTimeout(90000);
const told = { errors: [], requests: [], serious: [], wide: [] };
page.on("console", (message) => message.type() === "error" && told.errors.push(message.text()));
page.on("pageerror", (error) => told.errors.push(String(error)));
const asked = new Set();
context.on("request", (request) => asked.add(new URL(request.url()).origin));

// Tab until what has the focus is named so.
async function reach(pattern, most = 120) {
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
  for (const [size, colorScheme] of LOOKS) {
    await page.setViewportSize(SIZES[size]);
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) told.wide.push(`${name}-${size}: ${wide} px`);
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, impact, nodes } of found.violations) {
      if (["serious", "critical"].includes(impact)) told.serious.push(`${name}-${size}-${colorScheme}: ${id}: ${nodes.slice(0, 2).map((node) => `${node.html.slice(0, 120)} ${node.failureSummary.slice(0, 200)}`).join(" | ")}`);
    }
    await page.screenshot({ path: `${pictures}/page-${name}-${size}-${colorScheme}.png` });
  }
  await page.setViewportSize(SIZES.desk);
}

async function go(screen) {
  await page.evaluate(() => document.getElementById("skip").focus());
  await reach(new RegExp(`^${screen}$`));
  await page.keyboard.press("Enter");
  await page.locator(`nav a[aria-current="page"][href="#${screen.toLowerCase()}"]`).waitFor();
  await page.evaluate(() => document.getElementById("main").focus());
}

const said = (words) => page.locator("main").getByText(words).first().waitFor();

async function words() {
  await go("Build");
  await page.waitForTimeout(300);
  await reach(/^Another fault$/);
  await page.keyboard.press("Enter");
  await page.keyboard.type("red_part");
  await page.keyboard.press("Tab");
  await page.keyboard.type("Red part");
  await page.keyboard.press("Tab");
  await page.keyboard.type("a red part");
  await page.keyboard.press("Enter");
  await page.keyboard.type("something red");
  await reach(/^Keep the words$/);
  await page.keyboard.press("Enter");
  await page.locator("#says p").filter({ hasText: "The words are kept" }).waitFor();
}

// A picture is red or not by its own pixels, as a person sees it.
async function sort() {
  await go("Sort");
  await page.locator(".stage .picture:not([hidden])").waitFor();
  await page.evaluate(() => document.querySelector(".stage").focus());
  await judge("sort");
  for (let count = 0; count < 60; count += 1) {
    const name = await page.locator(".stage .picture").getAttribute("alt");
    if (await page.locator(".stage .picture").isHidden()) break;
    const number = Number(/_(\d+)\.jpg/.exec(name)[1]);
    const key = count === 2 ? "u" : [5, 6, 7, 14].includes(number) ? "f" : "n";
    await page.keyboard.press(key);
    if (count === 2) {
      await page.locator(".stage").getByText(/: unsure/).waitFor();
      await page.keyboard.press("z");
      await page.locator(".stage").getByText(/: taken back/).waitFor();
      await page.keyboard.press("n");
    }
    await page.waitForFunction((before) => {
      const shown = document.querySelector(".stage .picture");
      return shown.hidden || shown.alt !== before;
    }, name);
  }
  await said(/Nothing is left to sort/);
  await said(/^24 of 24 sorted/);
  told.sorted = await page.locator("main p[role=status]").first().innerText();
}

async function build() {
  await go("Build");
  await page.locator("section[aria-label='fault red_part']").waitFor();
  await reach(/^What would be armed$/);
  await page.keyboard.press("Enter");
  await page.locator("section[aria-label=job] .verdict").filter({ hasText: /: (done|failed)/ }).waitFor();
  told.plan = await page.locator(".output").innerText();
  if (kind === "build") {
    await reach(/^Build$/);
    await page.keyboard.press("Enter");
    await page.locator("section[aria-label=job] .verdict").filter({ hasText: /^build .*: (done|failed)/ }).waitFor({ timeout: 300000 });
    told.build = (await page.locator("section[aria-label=job] .verdict").innerText()) + (await page.locator(".output").innerText()).slice(-600);
    await report("build");
  }
  await judge("build");
}

async function report(what) {
  await reach(new RegExp(`^Report of .*-${what}$`));
  const [opened] = await Promise.all([context.waitForEvent("page"), page.keyboard.press("Enter")]);
  await opened.waitForLoadState("load");
  told[`${what}Report`] = (await opened.locator("h1").first().innerText()).slice(0, 80);
  await opened.screenshot({ path: `${pictures}/page-report-${what}.png` });
  await opened.close();
}

async function backtest() {
  await go("Backtest");
  await page.locator("#b-bundle option").first().waitFor({ state: "attached" });
  await reach(/^Backtest$/, 10).catch(() => {});
  await page.evaluate(() => document.getElementById("main").focus());
  await reach(/^Bundle$/);
  await page.keyboard.type(bundle);
  await page.keyboard.press("Tab");
  await reach(/^Backtest$/);
  await page.keyboard.press("Enter");
  await page.locator("section[aria-label=job] .verdict").filter({ hasText: /: (done|failed)/ }).waitFor();
  await page.locator("input[type=range]").first().waitFor();
  await reach(/^Threshold$/);
  const shown = page.locator("section.card:has(input[type=range]) .verdict").first();
  told.before = await shown.innerText();
  await page.keyboard.press("Home");
  told.low = await shown.innerText();
  await page.keyboard.press("End");
  told.high = await shown.innerText();
  for (let count = 0; count < 3; count += 1) await page.keyboard.press("ArrowLeft");
  await judge("backtest");
  await report("backtest");
}

async function live() {
  await go("Live");
  await page.locator("li.card").first().waitFor();
  await reach(/^Bundle, a folder/);
  await page.keyboard.type(`${bundle}-2`);
  await page.keyboard.press("Tab");
  await page.keyboard.type("a better one");
  await reach(/^Put live on trial$/);
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await judge("confirm");
  await reach(/^Put live$/);
  await page.keyboard.press("Enter");
  await said(/reloaded/);
  await said(/version 2 runs/);
  console.log(JSON.stringify({ live: true }));
  await said(/reload kept/);
  await reach(/^Take back$/);
  await page.keyboard.press("Enter");
  await reach(/^Take back now$/);
  await page.keyboard.press("Enter");
  await said(/version 1 runs/);
  told.happened = await page.locator("li.card .list").first().innerText();
  await judge("live");
}

async function region() {
  await go("Region");
  await page.locator("#r-camera option").first().waitFor({ state: "attached" });
  await reach(/^Show its picture$/);
  await page.keyboard.press("Enter");
  await page.locator(".easel:not([hidden])").waitFor();
  await reach(/^Left, %$/);
  for (const value of ["10", "20", "30.5", "40"]) {
    await page.keyboard.press("Control+a");
    await page.keyboard.type(value);
    await page.keyboard.press("Tab");
  }
  told.block = await page.locator("#r-block").inputValue();
  await judge("region");
  const area = await page.locator(".overlay").boundingBox();
  await page.mouse.move(area.x + area.width * 0.5, area.y + area.height * 0.5);
  await page.mouse.down();
  await page.mouse.move(area.x + area.width * 0.75, area.y + area.height, { steps: 3 });
  await page.mouse.up();
  told.drawn = await page.locator("#r-block").inputValue();
}

try {
  await page.goto(url, { waitUntil: "load" });
  await reach(/^Name/);
  await page.keyboard.type(user);
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.locator("nav a").first().waitFor();
  for (const step of [words, sort, build, backtest, region, live]) {
    told.step = step.name;
    await step();
  }
  told.requests = [...asked];
  console.log(JSON.stringify(told));
} catch (error) {
  console.error(String(error), JSON.stringify(told), "\nThe page says:", await page.locator("body").innerText().catch(() => "nothing"));
  await page.screenshot({ path: `${pictures}/page-failed.png` }).catch(() => {});
  process.exitCode = 1;
} finally {
  await browser.close();
}
