// How every view looks, in both themes and on a phone: no violation of axe's rules, and pictures for people.

import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT, Server, browser, cameras, missing, until, visit } from "./parts.js";

const FOLDER = join(ROOT, "docs/pictures/page");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const SIZES = {
  light: { viewport: { width: 1440, height: 900 }, colorScheme: "light" },
  dark: { viewport: { width: 1440, height: 900 }, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: "dark", deviceScaleFactor: 2, hasTouch: true, isMobile: true },
};
const VIEWS = ["streams", "stream", "timeline", "memory", "watches", "record", "system"];

describe("how it looks", { skip: missing ?? false }, () => {
  let played, server, chrome, axe;

  before(async () => {
    axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    played = await cameras(4);
    server = await Server.start(["--allow-sources", `rtsp://127.0.0.1:${played.port}/*`, "--private-networks", "127.0.0.1/32"]);
    chrome = await browser();
    const names = ["door", "yard", "desk", "gate"];
    for (const [index, name] of names.entries()) {
      await server.api("POST", "/v1/streams", { name, source: played.addresses[index], fps: 1, chunk_frames: 2 });
    }
    await addWatches();
    await until(async () => (await server.api("GET", "/v1/streams/door")).num_frames > (process.env.SHOTS ? 50 : 12), "pictures", 180_000);
    for (const question of ["what is on screen now?", "was there a red circle?", "what is on screen now?"]) {
      await server.api("POST", "/v1/streams/door/ask", { question, num_moments: 4 });
      await new Promise((resolve) => setTimeout(resolve, process.env.SHOTS ? 4000 : 500));
    }
  });

  after(async () => {
    await chrome?.close();
    await server?.end();
    await played?.end();
  });

  async function addWatches() {
    const { paths } = await server.api("GET", "/openapi.json");
    if (!paths["/v1/streams/{name}/watches"]) return;
    const add = (name, body) => server.api("POST", `/v1/streams/${name}/watches`, body);
    await add("door", { name: "triangle", question: "was there a green triangle?", clear_at: 0.05, severity: "alarm" });
    await add("door", { name: "square", question: "was there a red square?", severity: "warning" });
    await add("yard", { name: "screen", question: "what is on screen now?", kind: "state", options: ["red circle", "nothing"] });
  }

  for (const [size, options] of Object.entries(SIZES)) {
    test(`every view, ${size}`, async () => {
      const { page, context, faults } = await visit(chrome, server.url, options);
      const found = [];
      for (const view of VIEWS) {
        await page.goto(`${server.url}/#/${view}${["stream", "timeline", "memory", "watches"].includes(view) ? "/door" : ""}`);
        await page.getByRole("heading", { level: 1 }).waitFor();
        await page.waitForTimeout(process.env.SHOTS ? 3000 : 900);
        if (process.env.SHOTS) await shoot(page, `${view}-${size}`);
        found.push(...(await violations(page, `${view}, ${size}`)));
      }
      assert.deepEqual(found, []);
      assert.deepEqual(faults, []);
      await context.close();
    });
  }

  test("dialogs, the sign-in of another server, and German", async () => {
    const { page, context } = await visit(chrome, server.url, { ...SIZES.light, locale: "de-DE" });
    const found = [];
    await page.getByRole("button", { name: "Kamera hinzufügen" }).click();
    found.push(...(await violations(page, "adding")));
    if (process.env.SHOTS) await shoot(page, "add-light");
    await page.keyboard.press("Escape");
    await page.goto(`${server.url}/#/memory/door`);
    await page.getByRole("button", { name: "Verfahren vergleichen" }).click();
    found.push(...(await violations(page, "comparing")));
    await page.keyboard.press("Escape");
    await page.goto(`${server.url}/#/watches/door`);
    await page.getByRole("button", { name: "Neuer Wächter" }).click();
    await page.getByText("Ausschnitt des Bildes").click();
    await page.getByRole("button", { name: "Ausschnitt wählen" }).click();
    found.push(...(await violations(page, "region")));
    if (process.env.SHOTS) await shoot(page, "region-light");
    await page.getByText("Ausschnitt des Bildes").click();
    await page.getByLabel("Was gefragt wird").fill("Ist jetzt ein roter Kreis da?");
    await page.getByText("Bedingungen: was jetzt ist").click();
    await page.getByLabel("Liest die neuesten").fill("0");
    await page.getByRole("button", { name: "Wächter anlegen" }).click();
    await page.getByRole("alert").waitFor();
    found.push(...(await violations(page, "conditions")));
    await page.keyboard.press("Escape");
    await page.goto(`${server.url}/#/timeline/door`);
    await page.getByRole("button", { name: "Kalender" }).click();
    found.push(...(await violations(page, "calendar")));
    assert.deepEqual(found, []);
    await context.close();
  });

  test("targets are large enough, and nothing moves for whoever wants no motion", async () => {
    const { page, context } = await visit(chrome, server.url, { ...SIZES.phone, reducedMotion: "reduce" });
    for (const view of VIEWS) {
      await page.goto(`${server.url}/#/${view}/door`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.waitForTimeout(500);
      const small = await page.locator("button:visible, a:visible, select:visible, summary:visible, input:visible").evaluateAll((all) =>
        all
          .filter((one) => !one.closest("p, .skip") && !one.classList.contains("skip"))
          .map((one) => ({ box: (one.closest(".check, .card") ?? one).getBoundingClientRect(), text: `${one.tagName} ${one.className} ${one.textContent}` }))
          .filter(({ box }) => box.width > 1 && (box.width < 24 || box.height < 24))
          .map(({ box, text }) => `${box.width}x${box.height} ${text}`),
      );
      assert.deepEqual(small, [], view);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${view} is ${wide} pixels wider than a phone`);
    }
    const moving = await page.evaluate(() => document.getAnimations().length);
    assert.equal(moving, 0);
    await context.close();
  });

  /** @param {import("playwright-core").Page} page @param {string} where */
  async function violations(page, where) {
    await page.evaluate(axe);
    const { violations: found } = await page.evaluate((rules) => window.axe.run({ runOnly: rules }), RULES);
    return found.map((one) => `${where}: ${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 120)} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
  }

  /** @param {import("playwright-core").Page} page @param {string} name */
  async function shoot(page, name) {
    await mkdir(FOLDER, { recursive: true });
    const session = await page.context().newCDPSession(page);
    const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 80 });
    await writeFile(join(FOLDER, `${name}.webp`), Buffer.from(data, "base64"));
    if (process.env.SHOTS === "png") await page.screenshot({ path: join("/tmp", `page-${name}.png`) });
    await session.detach();
  }
});
