// What the page shows is so, and the keyboard stays where it is.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Server, browser, hide, missing, until, visit } from "./parts.js";

const US = 1_000_000;
// a picture of one grey point
const JPEG = Buffer.from(
  "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC4zNDL/wAALCAABAAEBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/APn+v//Z",
  "base64",
);

describe("states", { skip: missing ?? false }, () => {
  let server, chrome;

  before(async () => {
    server = await Server.start();
    chrome = await browser();
    await server.api("POST", "/v1/streams", { name: "door", fps: 1, chunk_frames: 1 });
    for (let second = 0; second < 4; second += 1) {
      const path = `${server.url}/v1/streams/door/frames?pts_us=${second * US}`;
      const pushed = await fetch(path, { method: "POST", headers: { "Content-Type": "image/jpeg" }, body: JPEG });
      assert.equal(pushed.status, 200, await pushed.text());
    }
  });

  after(async () => {
    await chrome?.close();
    await server?.end();
  });

  test("a tab that was hidden before anything happened is told what happened meanwhile", async () => {
    const { page, context } = await visit(chrome, `${server.url}/#/record`);
    await page.getByText("Stream opened").waitFor();
    await hide(page, true);
    await page.waitForTimeout(21_000); // then it lets the events go
    await server.api("POST", "/v1/streams", { name: "yard" });
    await hide(page, false);
    await until(async () => (await page.getByText("Stream opened").count()) === 2, "it is told", 20_000);
    await context.close();
  });

  test("a picture that was refused is a problem until the next one is taken", async () => {
    const { page, context } = await visit(chrome, server.url);
    let numCame = 0;
    await page.routeWebSocket(/\/frames$/, (socket) =>
      socket.onMessage(() => {
        numCame += 1;
        socket.send(JSON.stringify(numCame === 2 ? { error: { message: "no such picture" } } : { num_accepted: 1 }));
      }),
    );
    await page.getByRole("button", { name: "Add camera" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();
    await page.getByText("no such picture").waitFor();
    await page.getByText("Sends This camera to camera").waitFor({ timeout: 20_000 });
    await context.close();
  });

  test("of a moment that is forgotten the timeline shows the nearest that is kept", async () => {
    const { page, context } = await visit(chrome, server.url);
    const picture = (seconds) => ({ seconds, picture_url: `/v1/pictures/${seconds}` });
    let numAsked = 0;
    await page.route("**/v1/streams/door/memory?*", (route) => {
      numAsked += 1;
      const memory = { stream: "door", layers: [], pictures: numAsked === 1 ? [picture(1), picture(3)] : [picture(3)] };
      return route.fulfill({ contentType: "text/event-stream", body: `event: memory\ndata: ${JSON.stringify(memory)}\n\n` });
    });
    await page.route("**/v1/pictures/*", (route) => route.fulfill({ contentType: "image/jpeg", body: JPEG }));
    await page.goto(`${server.url}/#/timeline/door?at=1`);
    const shown = page.getByRole("img", { name: /^Picture at/ });
    await until(async () => (await shown.getAttribute("src"))?.endsWith("/1"), "the picture of the moment");
    await until(async () => (await shown.getAttribute("src"))?.endsWith("/3"), "the nearest that is kept", 20_000);
    await context.close();
  });

  test("policies that could not be had are asked for again", async () => {
    const { page, context } = await visit(chrome, `${server.url}/#/memory/door`);
    await page.route("**/v1/policies", (route) => route.abort("connectionrefused"));
    await page.getByRole("button", { name: "Change policy" }).click();
    await page.getByText("The server cannot be reached").first().waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.unroute("**/v1/policies");
    await page.getByRole("button", { name: "Change policy" }).click();
    await until(async () => (await page.getByRole("dialog").getByRole("option").count()) > 2, "the policies", 20_000);
    await context.close();
  });

  test("an answer that comes takes the keyboard from nowhere else", async () => {
    const { page, context } = await visit(chrome, `${server.url}/#/stream/door`);
    await page.route("**/ask", async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const answer = JSON.stringify({ text: "a dog", evidence: [] });
      await route.fulfill({ contentType: "text/event-stream", body: `event: answer\ndata: ${answer}\n\n` });
    });
    const focused = () => page.evaluate(() => document.activeElement?.textContent ?? "");
    await page.getByRole("textbox", { name: "Question" }).fill("what is it?");
    await page.keyboard.press("Enter");
    await page.getByText("Options", { exact: true }).focus();
    await page.getByText("a dog", { exact: true }).waitFor();
    assert.equal(await focused(), "Options");
    await page.getByRole("textbox", { name: "Question" }).fill("and now?");
    await page.getByRole("button", { name: "Send" }).click();
    await until(async () => (await page.getByText("a dog", { exact: true }).count()) === 2, "the second answer");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "question");
    await context.close();
  });

  test("a menu that is closed, and a list that is told anew, leave the keyboard where it was", async () => {
    await server.api("POST", "/v1/streams/door/watches", { name: "person", question: "is a person there?" });
    const { page, context, faults } = await visit(chrome, server.url);
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
    await page.getByRole("button", { name: "More about door" }).click();
    await page.getByRole("button", { name: "Rename" }).focus();
    await page.keyboard.press("Escape");
    assert.equal(await focused(), "More about door");
    await page.goto(`${server.url}/#/watches/door`);
    await page.getByRole("button", { name: "Turn person off" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Turn person on" }).waitFor();
    assert.equal(await focused(), "Turn person on");
    assert.deepEqual(faults, []);
    await context.close();
  });

  test("a menu's dialog leaves the keyboard at the stream, or at the heading where that is gone", async () => {
    await server.api("POST", "/v1/streams", { name: "attic" });
    const { page, context } = await visit(chrome, server.url);
    const at = (label) => until(() => page.evaluate((wanted) => (document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.tagName) === wanted, label), `the keyboard at ${label}`, 20_000);
    const choose = async (name, action) => {
      await page.getByRole("button", { name: `More about ${name}` }).click();
      await page.getByRole("button", { name: action, exact: true }).click();
    };
    await choose("attic", "Rename");
    await page.keyboard.press("Escape");
    await at("More about attic");
    await choose("attic", "Rename");
    await page.getByRole("dialog").getByRole("textbox").fill("loft");
    await page.keyboard.press("Enter");
    await at("More about loft");
    await choose("loft", "Remove");
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await at("H1");
    await context.close();
  });

  test("of two searches the later one is shown, however long the first takes", async () => {
    const { page, context } = await visit(chrome, `${server.url}/#/record`);
    await page.route("**/v1/search?*", async (route) => {
      const text = new URL(route.request().url()).searchParams.get("q");
      if (text === "slow") await new Promise((resolve) => setTimeout(resolve, 1_500));
      const one = { stream: "door", stream_seconds: 1, wall_seconds: 1, snippet: { text: `found ${text}`, marks: [] }, picture_url: null };
      await route.fulfill({ contentType: "application/json", body: JSON.stringify({ results: [one], next: null }) });
    });
    const answered = page.waitForResponse(/q=slow/);
    for (const words of ["slow", "quick"]) {
      await page.getByRole("searchbox", { name: "Search" }).fill(words);
      await page.keyboard.press("Enter");
    }
    await page.getByText("found quick").waitFor();
    await (await answered).finished();
    await page.waitForTimeout(200);
    assert.equal(await page.getByText("found slow").count(), 0);
    await context.close();
  });

  test("a slider in somebody's hand is not taken away by what is told meanwhile", async () => {
    await server.api("POST", "/v1/streams/door/watches", { name: "dog", question: "is a dog there?" });
    const { page, context } = await visit(chrome, `${server.url}/#/watches/door`);
    const slider = page.getByRole("listitem").filter({ hasText: "is a dog there?" }).getByRole("slider").first();
    await slider.evaluate((one) => (one.dataset.held = "yes"));
    const box = await slider.boundingBox();
    await page.mouse.move(box.x + box.width * 0.9, box.y + box.height / 2);
    await page.mouse.down();
    const loaded = page.waitForResponse(/watches$/);
    await server.api("POST", "/v1/streams/door/watches", { name: "cat", question: "is a cat there?" });
    await page.evaluate(async () => {
      const { store } = await import(document.querySelector("script[type=module]").src.replace("main.js", "ground/store.js"));
      store.tell("event", { stream: "door", kind: "state_changed", payload: {} });
    });
    await (await loaded).finished();
    await page.waitForTimeout(200);
    assert.equal(await slider.getAttribute("data-held"), "yes");
    await page.mouse.move(box.x + box.width * 0.3, box.y + box.height / 2);
    await page.mouse.up();
    await page.getByText("is a cat there?").waitFor();
    await context.close();
  });

  test("a comparison goes on when its pictures were cut off", async () => {
    const { page, context } = await visit(chrome, `${server.url}/#/memory/door`);
    let numOpened = 0;
    await page.routeWebSocket(/\/door\/preview$/, async (socket) => {
      numOpened += 1;
      await socket.close();
    });
    await page.getByRole("button", { name: "Compare" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Compare" }).click();
    await until(() => numOpened >= 2, "the pictures are asked for again", 20_000);
    await context.close();
  });

  test("an incident that ends is drawn with its end, also while the timeline stands", async () => {
    const { page, context } = await visit(chrome, server.url);
    const spans = await page.evaluate(async () => {
      const { Lanes } = await import(document.querySelector("script[type=module]").src.replace("main.js", "parts/timeline_lanes.js"));
      const lanes = new Lanes({ onChoose() {}, onPoint() {} });
      const seen = { from: 0, until: 100, span: 100, at: 50, shareOf: (wall) => wall / 100, ticks: () => ({ step: 10, walls: [] }) };
      const begun = { id: "incident-1", lane: "incidents", wall: 10, rank: 1, severity: "warning", title: "a", incident: { reviewed: false } };
      return [begun, { ...begun, until: 30 }].map((one) => {
        lanes.draw(seen, [one], [], 100, null);
        return lanes.element.querySelectorAll(".span").length;
      });
    });
    assert.deepEqual(spans, [0, 1]);
    await context.close();
  });
});
