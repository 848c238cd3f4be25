// Plays the operator of FUXA in a real browser: waits for an alarm in FUXA's own list, acknowledges it there, and takes pictures.
// node drive_fuxa.mjs FOLDER_WITH_NODE_MODULES CHROMIUM URL WORDS_OF_THE_ALARM PICTURE_BEFORE PICTURE_AFTER
import { createRequire } from "node:module";

const [folder, chromium, url, words, before, after] = process.argv.slice(2);
const playwright = createRequire(folder + "/")("playwright-core");
const quiet = ["gpu", "quic", "background-networking", "component-update", "sync"].map((name) => "--disable-" + name);
const browser = await playwright.chromium.launch({
  executablePath: chromium,
  args: ["--no-sandbox", "--no-first-run", ...quiet],
});
const page = await browser.newPage({ viewport: { width: 1240, height: 760 } });
page.setDefaultTimeout(90000); // a busy machine takes long to draw FUXA for the first time
try {
  await page.goto(url, { waitUntil: "domcontentloaded" });
  const list = page.locator("app-data-table").first();
  const row = list.locator("tr, mat-row").filter({ hasText: words });
  await row.waitFor();
  const shown = await row.innerText();
  await page.screenshot({ path: before });
  await row.locator("button").click();
  await row.filter({ hasText: "Active-ACK" }).waitFor(); // FUXA's words for acknowledged
  await page.getByText("ACK_ALM", { exact: true }).waitFor(); // what the device says
  await page.screenshot({ path: after });
  console.log(JSON.stringify({ shown, acknowledged: await row.innerText() }));
} catch (error) {
  console.error(String(error), "\nThe page says:", await page.locator("body").innerText());
  process.exitCode = 1;
} finally {
  await browser.close();
}
