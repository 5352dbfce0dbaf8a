// What the tests stand on: cameras, servers, a browser; all of them real, all of them ended at the end.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const PYTHON = process.env.PYTHON ?? join(ROOT, ".venv/bin/python");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const START_MS = 300_000; // a crowded machine

/** Why the tests cannot run here; null where they can. */
export const missing = !existsSync(CHROMIUM)
  ? `there is no browser at ${CHROMIUM}; apt-get install chromium, or name one in CHROMIUM`
  : !existsSync(PYTHON)
    ? `there is no ${PYTHON}; make install`
    : null;

/**
 * Start a program, and wait for the line of JSON that it begins with.
 *
 * @param {string[]} parts
 */
async function started(parts) {
  const env = { ...process.env, PYTHONPATH: join(ROOT, "src"), OMP_WAIT_POLICY: "PASSIVE" };
  const child = spawn(PYTHON, parts, { cwd: ROOT, env, stdio: ["pipe", "pipe", "pipe"] });
  let log = "";
  child.stderr.on("data", (text) => (log = (log + text).slice(-20_000)));
  const first = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`nothing after ${START_MS} ms: ${log}`));
    }, START_MS);
    createInterface({ input: child.stdout }).once("line", (line) => {
      clearTimeout(timer);
      resolve(JSON.parse(line));
    });
    child.once("exit", (code) => reject(new Error(`ended with ${code}: ${log}`)));
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  return { child, first, ended, log: () => log };
}

/** Play generated worlds over RTSP. @param {number} number */
export async function cameras(number) {
  const { child, first, ended } = await started(["tests/page/cameras.py", String(number)]);
  return {
    ...first,
    end: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

/** A server over a folder of its own, which outlives it where it is killed. */
export class Server {
  /** @param {string[]} options */
  static async start(options = []) {
    const server = new Server();
    server.folder = await mkdtemp(join(tmpdir(), "hermes-page-"));
    server.options = options;
    await server.run("0");
    return server;
  }

  /** @param {string} port */
  async run(port) {
    const folder = this.options.includes("--data") ? [] : ["--data", this.folder];
    this.program = await started(["-m", "hermes_stream", "serve", "--json", "--threads", "1", ...folder, "--port", port, ...this.options]);
    this.url = this.program.first.url;
  }

  /** Run a command over the folder while no server does. @param {string[]} parts */
  static async command(parts) {
    const { first, ended } = await started(["-m", "hermes_stream", ...parts]);
    await ended;
    return first;
  }

  async kill() {
    this.program.child.kill("SIGKILL");
    await this.program.ended;
  }

  async again() {
    await this.run(new URL(this.url).port);
  }

  /** @param {string} method @param {string} path @param {unknown} [body] */
  async api(method, path, body) {
    const response = await fetch(this.url + path, {
      method,
      headers: { "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  async end() {
    this.program.child.kill("SIGTERM");
    await this.program.ended;
    await rm(this.folder, { recursive: true, force: true });
  }
}

export async function browser() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--auto-select-desktop-capture-source=Entire screen"],
  });
}

/**
 * Open a page, and note what it complains about and what it loads from elsewhere.
 *
 * @param {import("playwright-core").Browser} from
 * @param {string} url
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function visit(from, url, options = {}) {
  const context = await from.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB", permissions: ["camera"], ...options });
  const page = await context.newPage();
  const faults = [];
  const { origin } = new URL(url);
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const isRefusal = /Failed to load resource|WebSocket connection|net::ERR/.test(message.text());
    if (message.type() === "error" && !isRefusal) faults.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith("blob:")) faults.push(`elsewhere: ${request.url()}`);
  });
  page.setDefaultTimeout(60_000);
  await page.goto(url);
  return { page, context, faults };
}

/** Tell a page that its tab was hidden, or is seen again. @param {import("playwright-core").Page} page @param {boolean} isHidden */
export function hide(page, isHidden) {
  return page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
}

/** Wait until something is so. @param {() => Promise<unknown>} ask @param {string} what @param {number} [ms] */
export async function until(ask, what, ms = 120_000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}
