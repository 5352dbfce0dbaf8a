// A question on its way: pieces of the answer as they come, then what it rested on.

import { request, streamPath } from "../ground/api.js";
import { readEvents } from "../ground/sse.js";
import { store } from "../ground/store.js";

/**
 * @typedef {object} Wanted
 * @property {string} question
 * @property {string[]} options
 * @property {boolean} remember
 * @property {{question: string, answer: string}[]} earlier turns
 * @property {number} [waitSeconds] of the stream, for its evidence; not with earlier turns
 * @property {number} [clarifyBelow] confidence below which the model asks back
 *
 * @typedef {{text: string} | {answer: Answer}} Step
 */

export class Asking {
  /** @param {string} stream @param {Wanted} wanted */
  constructor(stream, wanted) {
    this._stream = stream;
    this._wanted = wanted;
    this._ending = new AbortController();
    this.isStopped = false;
  }

  stop() {
    this.isStopped = true;
    this._ending.abort();
  }

  /** @returns {AsyncGenerator<Step>} */
  async *steps() {
    try {
      // earlier turns are words before the question, which the chat of OpenAI's form takes
      yield* this._wanted.earlier.length ? this._chat() : this._ask();
    } catch (error) {
      if (!this.isStopped) throw error;
    }
  }

  /** @returns {AsyncGenerator<Step>} */
  async *_ask() {
    const { question, options, remember, waitSeconds, clarifyBelow } = this._wanted;
    const json = {
      question,
      remember,
      stream: true,
      num_moments: 4,
      ...(options.length > 1 ? { options } : {}),
      ...(waitSeconds === undefined ? {} : { wait_seconds: waitSeconds }),
      ...(clarifyBelow === undefined ? {} : { clarify_below: clarifyBelow }),
    };
    const response = await this._post(streamPath(this._stream, "/ask"), json);
    for await (const { event, data } of readEvents(response)) {
      const content = JSON.parse(data);
      if (event === "text") yield { text: content.text };
      if (event === "answer") yield { answer: content };
      if (event === "error") throw new Error(content.error.message);
    }
  }

  /** @returns {AsyncGenerator<Step>} */
  async *_chat() {
    const { question, options, earlier, clarifyBelow } = this._wanted;
    const turns = earlier.flatMap((one) => [
      { role: "user", content: one.question },
      { role: "assistant", content: one.answer || "-" },
    ]);
    const video = { type: "video_url", video_url: { url: `stream://${this._stream}` } };
    const json = {
      model: store.about?.model.name,
      messages: [...turns, { role: "user", content: [video, { type: "text", text: question }] }],
      stream: true,
      hermes: {
        num_moments: 4,
        ...(options.length > 1 ? { options } : {}),
        ...(clarifyBelow === undefined ? {} : { clarify_below: clarifyBelow }),
      },
    };
    const response = await this._post("/v1/chat/completions", json);
    let text = "";
    for await (const { data } of readEvents(response)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      const piece = chunk.choices?.[0]?.delta?.content;
      if (piece) {
        text += piece;
        yield { text: piece };
      }
      if (chunk.hermes) yield { answer: { ...chunk.hermes, text, question, finish_reason: "stop" } };
    }
  }

  /** @param {string} path @param {unknown} json */
  _post(path, json) {
    return request("POST", path, { json, signal: this._ending.signal, headers: { Accept: "text/event-stream" } });
  }
}
