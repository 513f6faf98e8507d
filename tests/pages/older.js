// Takes away what Chromium 84 and Safari 15 lack, so that a module that needs it fails.
// `Object.hasOwn` stays, because WebDriver needs it, and what Node's own `fetch` needs.
const isPage = typeof window !== "undefined";
for (const [owner, names] of [
  [globalThis, ["structuredClone", "reportError", "scheduler", "navigation", "cookieStore"]],
  [AbortSignal, ["timeout", "any"]],
  [AbortSignal.prototype, isPage ? ["throwIfAborted", "reason"] : []],
  [Object, ["groupBy"]],
  [Promise, ["any", "try", "withResolvers"]],
  [Array, ["fromAsync"]],
  [Array.prototype, ["at", "findLast", "findLastIndex", "toReversed", "toSorted", "toSpliced", "with"]],
  [String.prototype, ["at", "replaceAll"]],
  [Response, ["json"]],
  [URL, ["canParse", "parse"]],
  [typeof Crypto === "undefined" ? {} : Crypto.prototype, ["randomUUID"]],
]) {
  for (const name of names) {
    delete owner[name];
  }
}
