// What a tab takes: of its scripts' heap, of its document, and of its process as the system counts it.

import { readFile } from "node:fs/promises";

export class TabMemory {
  /** @param {import("playwright-core").Page} page alone in its browser */
  static async of(page) {
    const tab = new TabMemory();
    tab.session = await page.context().newCDPSession(page);
    await tab.session.send("Performance.enable");
    const whole = await page.context().browser().newBrowserCDPSession();
    const { processInfo } = await whole.send("SystemInfo.getProcessInfo");
    tab.programs = processInfo.filter((one) => one.type === "renderer").map((one) => one.id);
    await whole.detach();
    return tab;
  }

  /** Measure after what nobody needs was cleared away. */
  async sample() {
    await this.session.send("HeapProfiler.collectGarbage");
    const { metrics } = await this.session.send("Performance.getMetrics");
    const of = (name) => metrics.find((one) => one.name === name).value;
    const sizes = await Promise.all(this.programs.map(privateBytes));
    return {
      heap_bytes: of("JSHeapUsedSize"),
      num_nodes: of("Nodes"),
      num_listeners: of("JSEventListeners"),
      process_bytes: sizes.reduce((sum, one) => sum + one, 0),
    };
  }
}

/** @param {number} program its number */
async function privateBytes(program) {
  const told = await readFile(`/proc/${program}/status`, "utf8").catch(() => ""); // gone, or not on Linux
  return Number(/^RssAnon:\s+(\d+)/m.exec(told)?.[1] ?? 0) * 1024;
}
