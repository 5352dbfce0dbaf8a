// What a page outlives: a server that is killed, hidden tabs, many streams for a while.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Server, browser, cameras, missing, until, visit } from "./parts.js";

const NUM_STREAMS = 16;
const SECONDS = process.env.LONG ? 300 : 60;
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

  test("a hidden tab loads no previews, and a pause lets all pictures stand", async () => {
    const { page, context } = await visit(chrome, server.url);
    const sockets = new Set();
    page.on("websocket", (one) => {
      sockets.add(one);
      one.on("close", () => sockets.delete(one));
    });
    await page.reload();
    await until(async () => sockets.size === 1, "one preview");
    const hide = (isHidden) =>
      page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, isHidden);
    await hide(true);
    await until(async () => sockets.size === 0, "no preview");
    await hide(false);
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
    await until(async () => (await page.locator("canvas[data-shown]").count()) === NUM_STREAMS, "all are seen", 120_000);
    const session = await context.newCDPSession(page);
    const bytes = async () => {
      await session.send("HeapProfiler.collectGarbage");
      const { metrics } = await session.send("Performance.getMetrics");
      const of = (name) => metrics.find((one) => one.name === name).value;
      return { heap: of("JSHeapUsedSize"), nodes: of("Nodes") };
    };
    await session.send("Performance.enable");
    await page.waitForTimeout((SECONDS * 1000) / 3);
    const first = await bytes();
    await page.waitForTimeout((SECONDS * 2000) / 3);
    const last = await bytes();
    assert.ok(last.heap < first.heap * 1.15 + 1e6, `${first.heap} to ${last.heap} bytes`);
    assert.ok(last.nodes < first.nodes * 1.2 + 200, `${first.nodes} to ${last.nodes} nodes`);
    await context.close();
  });
});
