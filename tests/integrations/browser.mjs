// A real browser for the tests of edge-page: one context, what its pages said and asked for, and two hands: `reach` by Tab, `judge` by axe-core.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

export const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 }, room: { width: 2560, height: 1440 } };
const QUIET = ["gpu", "quic", "background-networking", "component-update", "sync"].map((name) => "--disable-" + name);

export async function launch(folder, chromium) {
  const { chromium: engine } = createRequire(folder + "/")("playwright-core");
  return engine.launch({ executablePath: chromium, args: ["--no-sandbox", "--no-first-run", ...QUIET] });
}

// `told` gathers errors, origins of requests, serious findings, and screens that are wider than they may be.
export async function open(folder, chromium, pictures) {
  const axe = readFileSync(createRequire(folder + "/").resolve("axe-core/axe.min.js"), "utf8");
  const browser = await launch(folder, chromium);
  const context = await browser.newContext({ viewport: SIZES.desk, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(90000);
  const told = { errors: [], requests: [], serious: [], wide: [] };
  page.on("console", (message) => message.type() === "error" && told.errors.push(message.text()));
  page.on("pageerror", (error) => told.errors.push(String(error)));
  context.on("request", (request) => {
    const { origin } = new URL(request.url());
    if (!told.requests.includes(origin)) told.requests.push(origin);
  });

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
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) told.wide.push(`${name}: ${wide} px`);
    await page.evaluate(axe).catch(() => page.addScriptTag({ content: axe }));
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, impact, nodes } of found.violations) {
      if (!["serious", "critical"].includes(impact)) continue;
      const where = nodes.slice(0, 2).map((node) => `${node.html.slice(0, 120)} ${node.failureSummary.slice(0, 200)}`);
      told.serious.push(`${name}: ${id}: ${where.join(" | ")}`);
    }
    await page.screenshot({ path: `${pictures}/page-${name}.png` });
  }

  // The same screen at each size and colour; back at the desk afterwards.
  async function judgeEach(name, looks) {
    for (const [size, colorScheme] of looks) {
      await page.setViewportSize(SIZES[size]);
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await judge(`${name}-${size}-${colorScheme}`);
    }
    await page.setViewportSize(SIZES.desk);
  }

  async function login(user, password) {
    await reach(/^Name/);
    await page.keyboard.type(user);
    await page.keyboard.press("Tab");
    await page.keyboard.type(password);
    await page.keyboard.press("Enter");
  }

  // Tells what was gathered when the steps are done, or what went wrong, and what the page shows then.
  async function play(steps) {
    try {
      await steps();
      console.log(JSON.stringify(told));
    } catch (error) {
      const shown = await page.locator("body").innerText().catch(() => "nothing");
      console.error(String(error), JSON.stringify(told), "\nThe page says:", shown);
      await page.screenshot({ path: `${pictures}/page-failed.png` }).catch(() => {});
      process.exitCode = 1;
    } finally {
      await browser.close();
    }
  }

  return { page, context, told, reach, judge, judgeEach, login, play };
}
