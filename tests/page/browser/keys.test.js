// Signing in, and what a key may not do, which is not offered.

import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Server, browser, missing, visit } from "./parts.js";

describe("keys", { skip: missing ?? false }, () => {
  let server, chrome, reader, asker, admin;

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), "hermes-keys-"));
    const key = async (label, ...scopes) => (await Server.command(["keys", "create", label, ...scopes.flatMap((one) => ["--scope", one]), "--data", folder, "--json"])).key;
    reader = await key("hall", "read");
    asker = await key("desk", "read", "ask");
    admin = await key("office", "admin");
    server = await Server.start(["--require-keys", "--data", folder]);
    chrome = await browser();
    const headers = { Authorization: `Bearer ${admin}`, "Content-Type": "application/json" };
    const body = JSON.stringify({ name: "door" });
    const opened = await fetch(`${server.url}/v1/streams`, { method: "POST", headers, body });
    assert.equal(opened.status, 201);
  });

  after(async () => {
    await chrome?.close();
    await server?.end();
  });

  async function signIn(page, key) {
    await page.getByLabel("Key").fill(key);
    await page.getByRole("button", { name: "Sign in" }).click();
  }

  test("a wrong key is refused in words", async () => {
    const { page, context } = await visit(chrome, server.url);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await signIn(page, "hermes_wrong");
    await page.getByRole("alert").waitFor();
    assert.match(await page.getByRole("alert").innerText(), /not known/);
    await context.close();
  });

  test("a key without rights looks, and is offered nothing else", async () => {
    const { page, context, faults } = await visit(chrome, server.url);
    await signIn(page, reader);
    await page.getByRole("link", { name: "door" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Add camera" }).count(), 0);
    assert.equal(await page.getByRole("button", { name: "More about door" }).count(), 0);
    await page.getByRole("link", { name: "door" }).click();
    await page.getByText("This key may look, and not ask.").waitFor();
    assert.equal(await page.getByRole("textbox", { name: "Question" }).count(), 0);
    await page.getByRole("link", { name: "Memory" }).click();
    await page.getByRole("heading", { name: "Memory" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Change policy" }).count(), 0);
    assert.equal(await page.getByRole("button", { name: "Compare policies" }).count(), 0);
    await page.getByRole("link", { name: "Alerts" }).click();
    assert.equal(await page.getByRole("button", { name: "New watch" }).count(), 0);
    await page.getByRole("link", { name: "System" }).click();
    await page.getByText("“hall”").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    assert.deepEqual(faults, []);
    await context.close();
  });

  test("a key that asks may close what it opened, and nothing else", async () => {
    const headers = { Authorization: `Bearer ${asker}`, "Content-Type": "application/json" };
    await fetch(`${server.url}/v1/streams`, { method: "POST", headers, body: JSON.stringify({ name: "desk" }) });
    const { page, context } = await visit(chrome, server.url);
    await signIn(page, asker);
    await page.getByRole("link", { name: "door" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "More about door" }).count(), 0);
    await page.getByRole("button", { name: "More about desk" }).click();
    assert.equal(await page.getByRole("button", { name: "Rename" }).count(), 0);
    await page.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByLabel("Delete its memory").check();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByRole("link", { name: "desk" }).waitFor({ state: "detached" });
    await context.close();
  });

  test("an administrator renames and removes", async () => {
    const { page, context } = await visit(chrome, server.url);
    await signIn(page, admin);
    await page.getByRole("button", { name: "More about door" }).click();
    await page.getByRole("button", { name: "Rename" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("gate");
    await page.getByRole("dialog").getByRole("button", { name: "Rename" }).click();
    await page.getByRole("link", { name: "gate" }).waitFor();
    await page.getByRole("button", { name: "More about gate" }).click();
    await page.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByText("No stream yet").waitFor();
    await context.close();
  });

  test("the page is in German for whoever reads German", async () => {
    const { page, context } = await visit(chrome, server.url, { locale: "de-DE" });
    await page.getByRole("heading", { name: "Anmelden" }).waitFor();
    await page.getByLabel("Schlüssel").fill(admin);
    await page.getByRole("button", { name: "Anmelden" }).click();
    await page.getByRole("heading", { name: "Streams" }).waitFor();
    assert.equal(await page.getAttribute("html", "lang"), "de");
    await context.close();
  });
});
