// The form of a watch: what it shows is what is asked, what it does not show stays, and nothing is left out in silence.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { Server, browser, cameras, missing, until, visit } from "./parts.js";

const QUESTION = "is there a red circle now?";
const CAME = "did a red circle come since you last answered two seconds ago?";
const SURE = { raise_at: 1e-9, clear_at: 0 };
/** Every field that a watch may have, and that this one may; most of them are not in the form. */
const WHOLE = {
  question: QUESTION,
  name: "whole",
  newest_seconds: 8,
  onset: CAME,
  given: "was there a red circle?",
  keeps_given: true,
  nth: 3,
  also: ["is there a blue square now?"],
  options: ["red, or nearly", "nothing"],
  answer: "nothing",
  every_seconds: 1,
  language: "English",
  group_above: 0.9,
  calibrate: "blank",
  newness_quantile: 0.5,
  max_new_tokens: 40,
  summary_question: "what is on screen now?",
  context: "Circles are normal.",
  schedule: { days: ["mon", "tue"], begins: "08", ends: "18:30:15", time_zone: "Europe/Berlin" },
  max_per_hour: 7,
  pre_seconds: 2,
  post_seconds: 3,
  severity: "alarm",
};

describe("the form of a watch", { skip: missing ?? false }, () => {
  let played, server, chrome, page, faults, dialog;

  before(async () => {
    played = await cameras(1);
    server = await Server.start(["--allow-sources", `rtsp://127.0.0.1:${played.port}/*`, "--private-networks", "127.0.0.1/32"]);
    chrome = await browser();
    await server.api("POST", "/v1/streams", { name: "door", source: played.addresses[0], fps: 1, chunk_frames: 1 });
    await until(async () => (await server.api("GET", "/v1/streams/door")).num_frames > 5, "pictures", 90_000);
    ({ page, faults } = await visit(chrome, `${server.url}/#/watches/door`));
    dialog = page.getByRole("dialog");
  });

  beforeEach(async () => {
    for (const one of await watches()) await server.api("DELETE", `/v1/streams/door/watches/${one.id}`);
  });

  after(async () => {
    await chrome?.close();
    await server?.end();
    await played?.end();
  });

  const watches = async () => (await server.api("GET", "/v1/streams/door/watches")).data;
  const settings = async () => {
    const [found] = await watches();
    for (const name of ["id", "stream", "state", "stats", "failure", "warnings"]) delete found[name]; // what it is, not what it goes by
    return found;
  };
  const made = (body) => server.api("POST", "/v1/streams/door/watches", body);
  const button = (name) => dialog.getByRole("button", { name });
  const gone = () => dialog.waitFor({ state: "detached" });

  async function open(name) {
    await page.reload();
    await page.getByRole("button", { name }).click();
    await dialog.waitFor();
  }

  async function save() {
    await button("Save").click();
    await gone();
  }

  test("what is not touched stays, whatever the watch has", async () => {
    await made(WHOLE);
    const before_ = await settings();
    await open("Edit whole");
    await dialog.getByText("Thresholds, schedule, context").click();
    await dialog.getByLabel("True for, s").fill("4");
    await save();
    assert.deepEqual(await settings(), { ...before_, hold_seconds: 4 });
    await open("Edit whole");
    await dialog.getByText("Thresholds, schedule, context").click();
    await dialog.getByLabel("Wed").check();
    await dialog.getByRole("textbox", { name: /^Choices/ }).fill("red, or nearly\nnothing\nblue square");
    await save();
    const { schedule, options, answer } = await settings();
    await open("Edit whole");
    await dialog.getByText("Thresholds, schedule, context").click();
    await dialog.getByLabel("Until").fill("");
    await button("Save").click(); // no hour is guessed
    assert.ok(await dialog.getByLabel("Until").evaluate((one) => one.matches(":invalid")));
    await button("Cancel").click();
    assert.deepEqual(schedule, { ...WHOLE.schedule, days: ["mon", "tue", "wed"], begins: "08:00" });
    assert.deepEqual([options, answer], [["red, or nearly", "nothing", "blue square"], "nothing"]);
  });

  test("what is tried is what will run, with all that the form does not show", async () => {
    const { id } = await made({ ...SURE, question: QUESTION, name: "rare", every_seconds: 100_000, hold_seconds: 100_000 });
    await open("Edit rare");
    const tried = async () => {
      const asked = page.waitForResponse(/\/test$/);
      await button("Try on the past").click();
      return asked;
    };
    const first = await tried();
    assert.equal(new URL(first.url()).pathname, `/v1/streams/door/watches/${id}/test`);
    await dialog.getByText(/fired 0 times/).waitFor();
    assert.equal((await first.json()).scores.length, 1); // as rarely as it is asked
    await dialog.getByText("Thresholds, schedule, context").click();
    await dialog.getByLabel("True for, s").fill("");
    const second = await tried();
    assert.deepEqual(second.request().postDataJSON(), { hold_seconds: 0 });
    await dialog.getByText(/fired once/).waitFor();
    assert.equal((await second.json()).scores.length, 1);
    await save();
    assert.equal((await settings()).every_seconds, 100_000);
  });

  test("a threshold that was moved, here or elsewhere, is not moved back", async () => {
    const { id } = await made({ question: QUESTION, name: "moved" });
    await page.reload();
    await page.getByRole("heading", { name: "moved" }).waitFor();
    await server.api("PATCH", `/v1/streams/door/watches/${id}`, { raise_at: 0.8 });
    await page.getByRole("button", { name: "Edit moved" }).click();
    await dialog.getByText("Thresholds, schedule, context").click();
    assert.equal(await dialog.getByLabel("Raises at").inputValue(), "0.8");
    assert.equal(await dialog.getByLabel("Clears at").getAttribute("placeholder"), "0.5");
    await dialog.getByLabel("Severity").selectOption("info");
    await save();
    assert.equal((await settings()).raise_at, 0.8);
    // what nobody gave is not given by saving: below 0.5 it would be refused
    await open("Edit moved");
    await dialog.getByText("Thresholds, schedule, context").click();
    await dialog.getByLabel("Raises at").fill("0.3");
    await save();
    assert.deepEqual([(await settings()).raise_at, (await settings()).clear_at], [0.3, 0.3]);
  });

  test("a new alert has the form that measured best", async () => {
    await open("New watch");
    await dialog.getByLabel("What is asked").fill(QUESTION);
    await dialog.getByText("Conditions: what is now").click();
    await dialog.getByLabel("Reads the newest").fill("8");
    await dialog.getByLabel("Begins only with").fill(CAME);
    await dialog.getByLabel("Only after").fill("was there a red circle?");
    await dialog.getByLabel("Once it was so").check();
    await dialog.getByLabel("Only the n-th time").fill("2");
    await button("Make watch").click();
    await gone();
    const { newest_seconds, onset, given, keeps_given, nth, raise_at, name } = await settings();
    assert.deepEqual([newest_seconds, onset, given], [8, CAME, "was there a red circle?"]);
    assert.deepEqual([keeps_given, nth, raise_at, name], [true, 2, 0.9, QUESTION]);
  });

  test("an alert may be one answer of some, and what is emptied is taken away", async () => {
    await open("New watch");
    await dialog.getByLabel("What is asked").fill("what is on screen now?");
    await dialog.getByText("Conditions: what is now").click();
    await dialog.getByRole("textbox", { name: /^Choices/ }).fill("red circle\nnothing");
    await button("Make watch").click(); // which of them is not said
    assert.ok(await dialog.getByLabel("Counts as yes").evaluate((one) => one.matches(":invalid")));
    await dialog.getByLabel("Counts as yes").selectOption("nothing");
    await dialog.getByLabel("Name").fill("empty");
    await button("Make watch").click();
    await gone();
    assert.deepEqual([(await settings()).answer, (await settings()).raise_at], ["nothing", 0.5]);
    await open("Edit empty");
    await dialog.getByRole("textbox", { name: /^Choices/ }).fill("");
    await dialog.getByLabel("Name").fill("");
    await dialog.getByLabel("What is asked").fill(QUESTION);
    await save();
    const { options, answer, name, raise_at } = await settings();
    assert.deepEqual([options, answer, name, raise_at], [null, null, QUESTION, 0.9]);
  });

  test("what is refused is said beside its field, also where that is folded away", async () => {
    await made({ question: QUESTION, name: "plain" });
    await open("Edit plain");
    await dialog.getByText("Conditions: what is now").click();
    await dialog.getByLabel("Reads the newest").fill("0");
    await dialog.getByText("Conditions: what is now").click();
    for (const name of ["Save", "Try on the past"]) {
      await button(name).click();
      const line = dialog.locator("label", { has: page.locator("[name=newest_seconds]") }).getByRole("alert");
      await line.filter({ hasText: /newest_seconds: .*greater than 0, got 0/ }).waitFor();
    }
    await dialog.getByLabel("Reads the newest").fill("8");
    await dialog.getByText("Thresholds, schedule, context").click();
    await dialog.getByLabel("Raises at").fill("2");
    await dialog.getByText("Thresholds, schedule, context").click();
    await button("Save").click();
    await dialog.getByLabel("Raises at").waitFor(); // opened, and the browser says what it takes
    await dialog.getByLabel("Raises at").fill("0.7");
    await save();
    assert.deepEqual([(await settings()).newest_seconds, (await settings()).raise_at], [8, 0.7]);
  });

  test("what the server warns of is read below the form, and the watch is made once", async () => {
    const warning = "no model that this server runs was measured with 10 s";
    await page.route("**/v1/streams/door/watches", async (route) => {
      const response = await route.fetch();
      const body = await response.json();
      if (route.request().method() === "POST") body.warnings = [warning];
      await route.fulfill({ response, json: body });
    });
    await open("New watch");
    await dialog.getByLabel("What is asked").fill(QUESTION);
    await dialog.getByLabel("Name").fill("warned");
    await button("Make watch").click();
    await dialog.getByText(warning).waitFor();
    await dialog.getByRole("heading", { name: "Edit warned" }).waitFor();
    await page.unrouteAll({ behavior: "wait" });
    await dialog.getByLabel("Severity").selectOption("info");
    await save();
    assert.deepEqual((await watches()).map((one) => [one.name, one.severity]), [["warned", "info"]]);
  });

  test("each kind shows what it takes, and sends nothing else", async () => {
    await open("New watch");
    await dialog.getByLabel("What is asked").fill("what is on screen now?");
    await dialog.getByText("Conditions: what is now").click();
    await dialog.getByLabel("Begins only with").fill(CAME);
    await dialog.getByLabel("Kind").selectOption("describe");
    await dialog.getByLabel("Begins only with").waitFor({ state: "hidden" });
    await button("Make watch").click();
    await gone();
    const { kind, onset } = await settings();
    assert.deepEqual([kind, onset], ["describe", null]);
    assert.deepEqual(faults, []);
  });
});
