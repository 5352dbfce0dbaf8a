// Two states of a memory compared: what is kept, by which layer, and what went just now.

const MOST_FORGOTTEN = 8;

/** @typedef {{label: string, tier: Tier, tokens: Map<number, number>, numTokens: number, numSummary: number}} Row */
/** @typedef {{seconds: number, url: string | null, at: number}} Forgotten */

export class MemoryModel {
  constructor() {
    /** @type {LayerMoments[]} */
    this.layers = [];
    /** @type {Map<number, string>} */
    this.pictures = new Map();
    /** @type {Forgotten[]} */
    this.forgotten = [];
    this.numForgotten = 0;
    this._isFirst = true;
  }

  /** @param {Memory} memory @param {number} now in seconds */
  take(memory, now) {
    const before = this.moments();
    this.layers = memory.layers;
    const after = new Set(this.moments());
    const gone = this._isFirst ? [] : before.filter((one) => !after.has(one));
    this._isFirst = false;
    this.numForgotten += gone.length;
    const told = gone.map((seconds) => ({ seconds, url: this.pictures.get(seconds) ?? null, at: now }));
    this.forgotten = [...told.reverse(), ...this.forgotten].slice(0, MOST_FORGOTTEN);
    for (const one of memory.pictures) if (one.picture_url) this.pictures.set(one.seconds, one.picture_url);
    for (const seconds of this.pictures.keys()) if (!after.has(seconds)) this.pictures.delete(seconds);
  }

  /** Every moment of which some layer keeps something, in the order of time. */
  moments() {
    return [...new Set(this.layers.flatMap((one) => one.seconds))].sort((a, b) => a - b);
  }

  /** @param {boolean} byLayer @param {(tier: Tier) => string} tierName @param {(layer: number) => string} layerName @returns {Row[]} */
  rows(byLayer, tierName, layerName) {
    /** @type {Map<string, Row>} */
    const rows = new Map();
    for (const layer of this.layers) {
      const label = byLayer ? layerName(layer.layer_idx) : tierName(layer.tier);
      const row = rows.get(label) ?? { label, tier: layer.tier, tokens: new Map(), numTokens: 0, numSummary: 0 };
      layer.seconds.forEach((seconds, index) => {
        row.tokens.set(seconds, (row.tokens.get(seconds) ?? 0) + (layer.tokens_of[index] ?? 0));
      });
      row.numTokens = Math.max(row.numTokens, layer.num_tokens);
      row.numSummary = Math.max(row.numSummary, layer.num_summary_tokens);
      rows.set(label, row);
    }
    return [...rows.values()];
  }
}
