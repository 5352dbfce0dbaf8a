// What a page outlives: a server that is killed, hidden tabs, many streams for a while.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT, Server, browser, cameras, hide, missing, until, visit } from "./parts.js";
import { TabMemory } from "./tab_memory.js";

const NUM_STREAMS = 16;
const SECONDS = process.env.LONG ? 300 : 60;
const NUM_SAMPLES = 30;
const NUM_EVENTS = 10_000;

describe("a page that stays open", { skip: missing ?? false }, () => {
  let played, server, chrome;

  before(async () => {
    played = await cameras(2);
    server = await Server.start(["--allow-sources", `rtsp://127.0.0.1:${played.port}/*`, "--private-networks", "127.0.0.1/32"]);
    chrome = await browser();
    await open("camera0", 0);
  });

  after(async () => {
    await chrome?.close();
    await server?.end();
    await played?.end();
  });

  async function open(name, camera) {
    await server.api("POST", "/v1/streams", { name, source: played.addresses[camera], fps: 1, chunk_frames: 4 });
  }

  test("it comes back after the server was killed, and misses no event", async () => {
    const { page, context } = await visit(chrome, server.url);
    await page.getByRole("link", { name: "Record" }).click();
    await page.getByText("Stream opened").first().waitFor();
    await server.kill();
    await page.getByText("The connection is lost").waitFor();
    await server.again();
    await page.getByText("The connection is lost").waitFor({ state: "hidden" });
    await page.getByText("Memory restored").first().waitFor();
    const newest = (await server.api("GET", "/v1/events?limit=1000")).data;
    await until(async () => {
      const shown = await page.getByText(/\d+ events/).innerText();
      return Number(shown.match(/\d+/)[0]) >= newest.length;
    }, "every event is in the list");
    await page.getByRole("link", { name: "Streams", exact: true }).click();
    await page.locator("canvas[data-shown]").first().waitFor({ timeout: 60_000 });
    await context.close();
  });

  test("while the server is away no view asks in a rush, and the timeline comes back", async () => {
    const { page, context, faults } = await visit(chrome, server.url);
    await page.locator("canvas[data-shown]").first().waitFor({ timeout: 60_000 });
    let asked = 0;
    await page.route("**/v1/**", (route) => {
      asked += 1;
      return route.abort("connectionrefused");
    });
    const show = (view) => page.evaluate((hash) => (location.hash = hash), `#/${view}`);
    for (const view of ["stream/camera0", "memory/camera0", "watches/camera0", "record", "system", "timeline/camera0"]) {
      asked = 0;
      await show(view);
      await page.waitForTimeout(2_500);
      assert.ok(asked <= 15, `${view} asked ${asked} times`);
    }
    await page.unroute("**/v1/**");
    await page.getByRole("button", { name: /Source opened/ }).first().waitFor();
    assert.deepEqual(faults, []);
    await context.close();
  });

  test("a hidden tab loads no previews, and a pause lets all pictures stand", async () => {
    const { page, context } = await visit(chrome, server.url);
    const sockets = new Set();
    page.on("websocket", (one) => {
      sockets.add(one);
      one.on("close", () => sockets.delete(one));
    });
    await page.reload();
    await until(async () => sockets.size === 1, "one preview");
    await hide(page, true);
    await until(async () => sockets.size === 0, "no preview");
    await hide(page, false);
    await until(async () => sockets.size === 1, "a preview again");
    await page.getByRole("button", { name: "Pause pictures" }).click();
    await until(async () => sockets.size === 0, "no preview");
    await page.getByRole("button", { name: "Show pictures" }).click();
    await until(async () => sockets.size === 1, "a preview again");
    await context.close();
  });

  test("ten thousand events scroll", async () => {
    const { page, context } = await visit(chrome, server.url);
    // the server's answers, as many as nobody waits for: each page of them is made here
    await page.route("**/v1/events?*newest_first=true*", (route) => {
      const query = new URL(route.request().url()).searchParams;
      const last = Number(query.get("after") ?? NUM_EVENTS + 1);
      const limit = Number(query.get("limit"));
      const event = { kind: "source_state", stream: "camera0", epoch: 1, pts_seconds: 1, wall_seconds: 1.7e9, payload: { what: "opened" }, picture_url: null };
      const data = Array.from({ length: Math.min(limit, last - 1) }, (_, index) => ({ ...event, id: last - 1 - index }));
      return route.fulfill({ json: { object: "list", data, last_id: last - 1, has_more: last - 1 > limit } });
    });
    await page.goto(`${server.url}/#/record`);
    const list = page.getByRole("group", { name: "Events" });
    await until(async () => {
      await list.evaluate((one) => (one.scrollTop = one.scrollHeight));
      return (await page.getByText(/events/).first().innerText()).includes("10,000");
    }, "all are there");
    const { rows, ms } = await list.evaluate(async (one) => {
      const began = performance.now();
      for (let step = 0; step < 60; step += 1) {
        one.scrollTop = (one.scrollHeight * step) / 60;
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
      return { rows: one.querySelectorAll("li").length, ms: (performance.now() - began) / 60 };
    });
    assert.ok(rows < 80, `${rows} rows are drawn`);
    assert.ok(ms < 100, `${ms} ms a step`);
    await context.close();
  });

  test(`${NUM_STREAMS} streams for ${SECONDS} s do not make the tab grow`, async () => {
    for (let number = 1; number < NUM_STREAMS; number += 1) await open(`camera${number}`, number % 2);
    const { page, context } = await visit(chrome, server.url, { viewport: { width: 1600, height: 1300 } });
    await until(async () => (await page.locator("canvas[data-shown]").count()) === NUM_STREAMS, "all are seen", 300_000);
    const tab = await TabMemory.of(page);
    const began = Date.now();
    const samples = [];
    while (Date.now() - began < SECONDS * 1000) {
      await page.waitForTimeout((SECONDS * 1000) / NUM_SAMPLES);
      samples.push({ seconds: Math.round((Date.now() - began) / 100) / 10, ...(await tab.sample()) });
    }
    // the first third warms up; growth is what the last third has more than the second
    const third = Math.floor(samples.length / 3);
    const [before, after_] = [samples.slice(third, 2 * third), samples.slice(2 * third)].map(middle);
    const shown = await page.locator("canvas[data-shown]").count();
    if (process.env.LONG) await keep({ num_streams: NUM_STREAMS, num_shown: shown, seconds: SECONDS, second_third: before, last_third: after_, samples });
    assert.equal(shown, NUM_STREAMS);
    assert.ok(after_.heap_bytes < before.heap_bytes * 1.05 + 2e5, `${before.heap_bytes} to ${after_.heap_bytes} bytes`);
    assert.ok(after_.num_nodes < before.num_nodes * 1.2 + 200, `${before.num_nodes} to ${after_.num_nodes} nodes`);
    assert.ok(after_.num_listeners < before.num_listeners * 1.2 + 100, `${before.num_listeners} to ${after_.num_listeners} listeners`);
    assert.ok(after_.process_bytes < before.process_bytes * 1.1 + 16e6, `${before.process_bytes} to ${after_.process_bytes} bytes of the process`);
    await context.close();
  });

  /** Store what was measured, and with what. @param {object} measured */
  async function keep(measured) {
    const { versions, machine, model } = await server.api("GET", "/v1/about");
    const told = {
      ...measured,
      machine: { processor: cpus()[0]?.model, num_processors: cpus().length, system: machine },
      versions: { ...versions, chromium: chrome.version(), node: process.versions.node, model: model.name },
      command: "LONG=1 make page-test",
    };
    await writeFile(join(ROOT, "results/page_memory.json"), `${JSON.stringify(told, null, 1)}\n`);
  }
});

/** The median of each figure. @param {Record<string, number>[]} samples @returns {Record<string, number>} */
function middle(samples) {
  const names = Object.keys(samples[0]).filter((name) => name !== "seconds");
  return Object.fromEntries(names.map((name) => [name, samples.map((one) => one[name]).sort((a, b) => a - b)[Math.floor(samples.length / 2)]]));
}
