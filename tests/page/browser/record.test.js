// The record: filtered, opened, searched, taken away.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { Server, browser, cameras, missing, until, visit } from "./parts.js";

describe("the record", { skip: missing ?? false }, () => {
  let played, server, chrome, page, faults, paths;

  before(async () => {
    played = await cameras(1);
    server = await Server.start(["--allow-sources", `rtsp://127.0.0.1:${played.port}/*`, "--private-networks", "127.0.0.1/32"]);
    ({ paths } = await server.api("GET", "/openapi.json"));
    chrome = await browser();
    await server.api("POST", "/v1/streams", { name: "door", source: played.addresses[0], fps: 1, chunk_frames: 2 });
    await until(async () => (await server.api("GET", "/v1/streams/door")).num_frames > 8, "pictures", 90_000);
    await server.api("POST", "/v1/streams/door/ask", { question: "what is on screen now?" });
    ({ page, faults } = await visit(chrome, `${server.url}/#/record`));
  });

  after(async () => {
    await chrome?.close();
    await server?.end();
    await played?.end();
  });

  async function download(name) {
    const coming = page.waitForEvent("download");
    await page.getByRole("button", { name }).click();
    return readFile(await (await coming).path(), "utf8");
  }

  test("it is filtered, and an event is opened", async () => {
    await page.getByRole("button", { name: /Stream opened/ }).waitFor();
    await page.getByLabel("Kind").selectOption("answers");
    await page.getByText("1 event", { exact: true }).waitFor();
    await page.getByRole("button", { name: /what is on screen now/ }).click();
    const detail = page.getByRole("region", { name: "Event", exact: true });
    await detail.getByRole("link", { name: "On the timeline" }).waitFor();
    await detail.getByRole("rowheader", { name: "question" }).waitFor();
  });

  test("it is taken away as JSON and CSV", async () => {
    const [event] = JSON.parse(await download("JSON")).data;
    assert.equal(event.kind, "answered");
    const [head, line] = (await download("CSV")).split("\r\n");
    assert.match(head, /^id,kind,stream/);
    assert.ok(line.startsWith(`${event.id},"answered","door"`), line);
  });

  test("it is searched by words", async (context) => {
    if (!paths["/v1/search"]) return context.skip("this server does not search");
    await page.getByLabel("Kind").selectOption("");
    await page.getByRole("searchbox", { name: "Search" }).fill("screen");
    await page.getByRole("button", { name: "Search" }).click();
    const found = page.getByRole("region", { name: "Found" });
    await found.locator("mark", { hasText: "screen" }).first().waitFor();
    await found.getByRole("button", { name: "Close" }).click();
  });

  test("a clip and a report are downloaded", async (context) => {
    if (!paths["/v1/reports"]) return context.skip("this server makes no reports");
    assert.match(await download("Report"), /<html/i);
    await page.getByRole("button", { name: /what is on screen now/ }).first().click();
    const coming = page.waitForEvent("download");
    await page.getByRole("button", { name: /Clip/ }).click();
    const clip = await readFile(await (await coming).path());
    assert.equal(clip.subarray(4, 8).toString(), "ftyp");
  });

  test("a memory is restored from its snapshot", async () => {
    await server.api("POST", "/v1/streams/door/snapshots");
    const epoch = (await server.api("GET", "/v1/streams/door")).epoch;
    await page.goto(`${server.url}/#/record`);
    await page.getByLabel("Kind").selectOption("service");
    await page.getByRole("button", { name: /snapshot/i }).first().click();
    await page.getByRole("region", { name: "Event", exact: true }).getByRole("button", { name: "Restore" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/goes on with what it remembered/).waitFor();
    await dialog.getByRole("button", { name: "Restore" }).click();
    await page.getByText("door has the memory of the snapshot").first().waitFor();
    assert.equal((await server.api("GET", "/v1/streams/door")).epoch, epoch + 1);
  });

  test("a question waits for its evidence, and one that is unsure is asked back", async () => {
    await page.goto(`${server.url}/#/stream/door`);
    const form = page.getByRole("region", { name: "Questions and answers" });
    await form.getByText("Options", { exact: true }).click();
    await form.getByLabel("Wait for it (seconds)").fill("2");
    await form.getByLabel("Question", { exact: true }).fill("which dog came?");
    await form.getByRole("button", { name: "Send" }).click();
    await form.getByText("It was not seen in that time.").waitFor({ timeout: 60_000 });
    await form.getByLabel("Wait for it (seconds)").fill("");
    await form.getByLabel("Ask back below (percent)").fill("100");
    await form.getByLabel("Question", { exact: true }).fill("what is on screen now?");
    await form.getByRole("button", { name: "Send" }).click();
    await form.getByText("The model is unsure and asks back").waitFor({ timeout: 60_000 });
    await form.getByLabel("Mind the turns before").check();
    assert.ok(await form.getByLabel("Wait for it (seconds)").isDisabled());
    assert.ok(await form.getByLabel("Let the question steer the memory").isDisabled());
  });

  test("nothing was complained about", () => assert.deepEqual(faults, []));
});
