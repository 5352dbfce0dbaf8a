// The form of the page and of its tests: what a reader, a browser and a strict policy expect.

import js from "@eslint/js";

const browser = Object.fromEntries(
  [
    ...["window", "document", "location", "history", "navigator", "localStorage", "console", "performance"],
    ...["fetch", "Request", "Response", "FormData", "Blob", "URL", "URLSearchParams", "AbortController", "WebSocket"],
    ...["TextDecoderStream", "DOMException", "Node", "CustomEvent", "Event", "CSS", "Notification", "AudioContext"],
    ...["IntersectionObserver", "ResizeObserver", "matchMedia", "requestAnimationFrame", "cancelAnimationFrame"],
    ...["getComputedStyle", "createImageBitmap", "setTimeout", "clearTimeout", "setInterval", "clearInterval", "Intl", "structuredClone"],
  ].map((name) => [name, "readonly"]),
);
const node = Object.fromEntries(["process", "Buffer", "setTimeout", "clearTimeout", "console", "fetch", "URL"].map((name) => [name, "readonly"]));

export default [
  { ignores: ["**/node_modules/**", "**/*.d.ts"] },
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: true },
    rules: {
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-console": "error",
      complexity: ["error", 24],
      "max-lines": ["error", 400],
      "max-params": ["error", 5],
      "no-restricted-properties": [
        "error",
        ...["innerHTML", "outerHTML", "insertAdjacentHTML", "write"].map((property) => ({ property, message: "Text is never read as HTML." })),
      ],
    },
  },
  { files: ["**/server/page/**"], languageOptions: { globals: browser } },
  { files: ["**/tests/page/**", "**/*.config.js"], languageOptions: { globals: { ...browser, ...node } } },
];
