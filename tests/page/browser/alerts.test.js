// It speaks up: a watch is made, tried on the past, fires, is reviewed, muted, removed.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Server, browser, cameras, missing, until, visit } from "./parts.js";

const QUESTION = "was there a green triangle?";

describe("alerts", { skip: missing ?? false }, () => {
  let played, server, chrome, page, faults;

  before(async () => {
    played = await cameras(1);
    server = await Server.start(["--allow-sources", `rtsp://127.0.0.1:${played.port}/*`, "--private-networks", "127.0.0.1/32"]);
    chrome = await browser();
    await server.api("POST", "/v1/streams", { name: "door", source: played.addresses[0], fps: 1, chunk_frames: 1 });
    await until(async () => (await server.api("GET", "/v1/streams/door")).num_frames > 5, "pictures", 90_000);
    ({ page, faults } = await visit(chrome, `${server.url}/#/watches/door`));
  });

  after(async () => {
    await chrome?.close();
    await server?.end();
    await played?.end();
  });

  test("a watch is tried on the past, and made", async () => {
    await page.getByText("No watch yet").waitFor();
    await page.getByRole("button", { name: "New watch" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("What is asked").fill(QUESTION);
    await dialog.getByLabel("Name").fill("triangle");
    await dialog.getByLabel("Severity").selectOption("alarm");
    await dialog.getByRole("button", { name: "Try on the past" }).click();
    await dialog.getByText(/It would have fired/).waitFor();
    await dialog.getByRole("button", { name: "Make watch" }).click();
    await page.getByRole("heading", { name: "triangle" }).waitFor();
  });

  test("it fires, with a picture, and the notice leads to the moment", async () => {
    const notice = page.getByRole("region", { name: "Notices" }).getByRole("link", { name: /triangle/ });
    await notice.waitFor({ timeout: 120_000 });
    assert.ok(await page.getByRole("region", { name: "Notices" }).locator("img").count());
    const list = page.getByRole("region", { name: "Latest alerts" });
    await list.getByRole("link", { name: "triangle" }).first().waitFor();
    await notice.click();
    await page.getByRole("heading", { name: "Timeline" }).waitFor();
    const mark = page.getByRole("group", { name: "Incidents" }).getByRole("button").first();
    await mark.click();
    await page.getByRole("button", { name: "Mark as reviewed" }).click();
    await page.getByRole("button", { name: "Mark as not reviewed" }).waitFor();
    const { data } = await server.api("GET", "/v1/incidents?stream=door&reviewed=true");
    assert.equal(data.length, 1);
  });

  test("its score is drawn, and a threshold is moved", async () => {
    await page.getByRole("link", { name: "Alerts" }).click();
    await page.getByRole("img", { name: /^Score/ }).waitFor();
    const slider = page.getByRole("slider", { name: "Raises at" });
    const raiseAt = async () => (await server.api("GET", "/v1/streams/door/watches")).data[0].raise_at;
    assert.equal(await raiseAt(), 0.9);
    await slider.focus();
    await page.keyboard.press("ArrowRight");
    await until(async () => (await raiseAt()) === 0.91, "it is kept");
  });

  test("it looks at a part of the picture, drawn by pointer and by keyboard", async () => {
    const region = async () => (await server.api("GET", "/v1/streams/door/watches")).data[0].region;
    await page.getByRole("button", { name: "Edit triangle" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Part of the picture").click();
    const picture = dialog.getByRole("img", { name: "Newest picture of door" });
    await until(() => picture.evaluate((one) => one.naturalWidth), "the picture");
    await picture.scrollIntoViewIfNeeded();
    const { x, y, width, height } = await picture.boundingBox();
    const place = ([right, down]) => [x + right * width, y + down * height];
    for (const point of [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.5, 0.9]]) await page.mouse.click(...place(point));
    await page.mouse.move(...place([0.5, 0.9]));
    await page.mouse.down();
    await page.mouse.move(...place([0.2, 0.8]), { steps: 4 });
    await page.mouse.up();
    const corner = dialog.getByRole("button", { name: /^Corner 4 of 4, 20 % from the left, 80 %/ });
    await corner.focus();
    await page.keyboard.press("Shift+ArrowUp");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("+");
    await dialog.getByRole("button", { name: /^Corner 5 of 5/ }).waitFor();
    await page.keyboard.press("Delete");
    await dialog.getByText("33 % of the picture is looked at.").waitFor();
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("region", { name: "Watches" }).getByText("Part of the picture").waitFor();
    const near = (await region()).flat().map((one) => Math.round(one * 100) / 100);
    assert.deepEqual(near, [0.2, 0.2, 0.8, 0.2, 0.8, 0.8, 0.19, 0.7]);
    await page.getByRole("button", { name: "Edit triangle" }).click();
    await dialog.getByRole("button", { name: "Whole picture" }).click();
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal(await region(), null);
  });

  test("it is muted, edited, turned off and removed", async () => {
    await page.getByRole("button", { name: "Mute triangle" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Mute" }).click();
    await page.getByText("muted").waitFor();
    await page.getByRole("button", { name: "Edit triangle" }).click();
    await page.getByRole("dialog").getByText("Thresholds, schedule, context").click();
    await page.getByRole("dialog").getByLabel("Only at certain times").check();
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    const [watch] = (await server.api("GET", "/v1/streams/door/watches")).data;
    assert.equal(watch.schedule.days.length, 7);
    await page.getByRole("button", { name: "Turn triangle off" }).click();
    await page.getByRole("button", { name: "Turn triangle on" }).waitFor();
    await page.getByRole("button", { name: "Remove triangle" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByText("No watch yet").waitFor();
    assert.deepEqual(faults, []);
  });
});
