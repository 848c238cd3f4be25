// Plays the operator of edge-page in a real browser, by keyboard alone; judges every screen with axe-core at three sizes, light and dark.
// At the end it kills the broker, and looks at what is still shown as known.
// node drive_page.mjs FOLDER_WITH_NODE_MODULES CHROMIUM URL USER PASSWORD WORDS_OF_THE_ALARM FOLDER_FOR_PICTURES PID_OF_THE_BROKER
import { open } from "./browser.mjs";

const [folder, chromium, url, user, password, words, pictures, broker] = process.argv.slice(2);
const SCREENS = ["alarms", "flags", "cameras", "history", "nodes"];
const LOOKS = [["phone", "light"], ["room", "dark"], ["phone", "dark"]];
const { page, told, reach, judge, judgeEach, login, play } = await open(folder, chromium, pictures);

await play(async () => {
  const began = Date.now();
  await page.goto(url, { waitUntil: "load" });
  told.loadMs = Date.now() - began;
  await judge("login");
  await login(user, password);
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
    await judgeEach(screen, LOOKS);
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
});
