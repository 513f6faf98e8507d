/**
 * The adapter of the module in Node. Node has a WebSocket of its own
 * from version 22 on; Node 20 needs --experimental-websocket.
 *
 *     CURFEW_CLIENT="node infra/clients/javascript/adapter-node.js" \
 *       cargo test --workspace --test suite clients::conformance::client
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { adapter } from "./adapter.js";

/** Texts by key, in a file that is replaced in one step. */
class Entries {
  #path;
  #entries = {};

  constructor(path) {
    this.#path = path;
    try {
      this.#entries = JSON.parse(readFileSync(path, "utf8"));
    } catch (error) {
      if (error.code !== "ENOENT") {
        throw error;
      }
    }
  }

  getItem(key) {
    return this.#entries[key] ?? null;
  }

  setItem(key, value) {
    this.#change({ ...this.#entries, [key]: value });
  }

  removeItem(key) {
    const { [key]: _, ...others } = this.#entries;
    this.#change(others);
  }

  put(key, value) {
    this.setItem(key, value);
  }

  entries() {
    return this.#entries;
  }

  clear() {
    this.#change({});
  }

  #change(entries) {
    this.#entries = entries;
    writeFileSync(`${this.#path}.new`, JSON.stringify(entries), { mode: 0o600 });
    renameSync(`${this.#path}.new`, this.#path);
  }
}

const receive = adapter({
  send: (line) => process.stdout.write(`${JSON.stringify(line)}\n`),
  configured: (state) => {
    mkdirSync(state, { recursive: true });
    const storage = new Entries(join(state, "curfew.json"));
    return {
      options: { storage },
      places: [new Entries(join(state, "app.json"))],
      read: (key) => storage.getItem(key),
    };
  },
});

for await (const line of createInterface({ input: process.stdin })) {
  await receive(line);
  if (JSON.parse(line).do === "end") {
    break;
  }
}
process.exit(0);
