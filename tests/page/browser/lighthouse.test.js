// What Lighthouse says of the page: accessibility and best practice.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Server, missing } from "./parts.js";

const LIGHTHOUSE = join(dirname(fileURLToPath(import.meta.url)), "../node_modules/.bin/lighthouse");
const LEAST = 0.95;

describe("lighthouse", { skip: missing ?? false }, () => {
  let server;

  before(async () => {
    server = await Server.start();
    await server.api("POST", "/v1/streams", { name: "door" });
  });

  after(() => server?.end());

  for (const view of ["", "#/stream/door", "#/system"]) {
    test(`of ${view || "the first view"}`, async () => {
      const flags = ["--quiet", "--output=json", "--only-categories=accessibility,best-practices", "--chrome-flags=--headless=new --no-sandbox"];
      const env = { ...process.env, CHROME_PATH: process.env.CHROMIUM ?? "/usr/bin/chromium" };
      const { stdout } = await promisify(execFile)(LIGHTHOUSE, [`${server.url}/${view}`, ...flags], { env, maxBuffer: 64 * 1024 * 1024 });
      const { categories, audits } = JSON.parse(stdout);
      for (const category of Object.values(categories)) {
        const failed = category.auditRefs.map((one) => audits[one.id]).filter((one) => one.score !== null && one.score < 1);
        assert.ok(category.score >= LEAST, `${category.title}: ${category.score}, ${failed.map((one) => `${one.id} ${one.title}`)}`);
      }
    });
  }
});
