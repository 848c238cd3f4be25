// Plays the engineer of edge-page in a real browser, by keyboard alone; judges every screen with axe-core at three sizes, light and dark.
// node drive_page_engineer.mjs FOLDER_WITH_NODE_MODULES CHROMIUM URL USER PASSWORD FOLDER_FOR_PICTURES BUNDLE KIND_OF_JOB
import { open } from "./browser.mjs";

const [folder, chromium, url, user, password, pictures, bundle, kind] = process.argv.slice(2);
const LOOKS = [["phone", "light"], ["room", "dark"], ["phone", "dark"], ["desk", "light"]];
const { page, context, told, reach, judgeEach, login, play } = await open(folder, chromium, pictures);
const judge = (name) => judgeEach(name, LOOKS);

async function go(screen) {
  await page.evaluate(() => document.getElementById("skip").focus());
  await reach(new RegExp(`^${screen}$`));
  await page.keyboard.press("Enter");
  await page.locator(`nav a[aria-current="page"][href="#${screen.toLowerCase()}"]`).waitFor();
  await page.evaluate(() => document.getElementById("main").focus());
}

const said = (words) => page.locator("main").getByText(words).first().waitFor();

// What was said of the parts before the camera, and which product is made.
async function line() {
  await go("Cameras");
  await page.locator("table tbody tr").nth(1).waitFor();
  told.parts = await page.locator("table tbody tr").evaluateAll((rows) => rows.map((row) => `${row.cells[1].innerText} ${row.cells[2].innerText}`));
  await judge("inspections");
  await go("Nodes");
  await said(/^Profile$/);
  told.node = await page.locator("li.card dl").first().innerText();
  await judge("profile");
}

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

await play(async () => {
  await page.goto(url, { waitUntil: "load" });
  await login(user, password);
  await page.locator("nav a").first().waitFor();
  for (const step of [line, words, sort, build, backtest, region, live]) {
    told.step = step.name;
    await step();
  }
});
