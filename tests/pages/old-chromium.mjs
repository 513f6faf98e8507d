/**
 * An old Chromium, driven by the DevTools protocol. Takes the folder in which the npm
 * package chrome-aws-lambda is installed, which has that browser, and one more argument:
 * - `--unpack` only unpacks the browser, which takes longer than a test waits for an answer;
 * - the address of the server of pages runs the module there as a client for the suite;
 * - that address and a folder for the browser's state answer each line of standard input, a
 *   command of the protocol, by a line.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { brotliDecompressSync } from "node:zlib";

const [folder, pages, ownState] = process.argv.slice(2);

if (pages === "--unpack") {
  unpacked("aws.tar");
  unpacked("chromium");
  process.exit(0);
}

/** Unpacks a file of the package, unless that was done. Returns its path. */
function unpacked(name) {
  const path = join(folder, name);
  if (!existsSync(path)) {
    const own = `${path}.${process.pid}`;
    const packed = join(folder, `node_modules/chrome-aws-lambda/bin/${name}.br`);
    writeFileSync(own, brotliDecompressSync(readFileSync(packed)), { mode: 0o755 });
    renameSync(own, path);
  }
  return path;
}

function start(state) {
  mkdirSync(state, { recursive: true });
  spawnSync("tar", ["--extract", "--no-same-owner", "--file", unpacked("aws.tar"), "--directory", state]);
  writeFileSync(join(state, "fonts.conf"), `<fontconfig><dir>${state}/.fonts</dir></fontconfig>`);
  const options = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--remote-debugging-pipe",
    `--host-resolver-rules=MAP page.localhost:80 ${pages}`,
    `--user-data-dir=${join(state, "profile")}`,
  ];
  const environment = { ...process.env, LD_LIBRARY_PATH: join(state, "lib"), FONTCONFIG_PATH: state };
  // The shell ends the browser when this process has ended, killed or not.
  return spawn("sh", ["-c", '"$@" & read end; kill $!', "sh", unpacked("chromium"), ...options], {
    env: environment,
    stdio: ["pipe", "ignore", "ignore", "pipe", "pipe"],
  });
}

/** Returns the function that sends a command to the browser and waits for its answer. */
function devTools(browser, onEvent) {
  const waiting = new Map();
  let last = 0;
  let received = "";
  browser.stdio[4].setEncoding("utf8").on("data", (text) => {
    const messages = (received + text).split("\0");
    received = messages.pop();
    for (const message of messages.map((one) => JSON.parse(one))) {
      if (message.id === undefined) {
        onEvent(message);
      } else {
        const { resolve, reject } = waiting.get(message.id);
        const error = message.error ?? message.result.exceptionDetails;
        error ? reject(new Error(JSON.stringify(error))) : resolve(message.result);
      }
    }
  });
  return (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve, reject });
      browser.stdio[3].write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    });
}

/** Opens a page. Returns the function that sends it a command of the protocol. */
async function open(state, url, onWrite = () => {}) {
  const send = devTools(start(state), ({ method, params }) => {
    if (method === "Runtime.bindingCalled") {
      onWrite(params.payload);
    }
  });
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const sendToPage = (method, params) => send(method, params, sessionId);
  await sendToPage("Runtime.enable");
  await sendToPage("Runtime.addBinding", { name: "write" });
  await sendToPage("Page.navigate", { url });
  return sendToPage;
}

/** Opens the page of the adapter. Returns the function that evaluates in it. */
async function openAdapter(state) {
  const write = (line) => process.stdout.write(`${line}\n`);
  const send = await open(state, "http://page.localhost/adapter.html", write);
  const evaluate = async (expression) => {
    const found = await send("Runtime.evaluate", { expression, returnByValue: true });
    return found.result.value;
  };
  while (!(await evaluate("typeof window.adapter === 'function'").catch(() => false))) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const version = await evaluate("navigator.userAgent");
  if (!version.includes("Chrome/84.")) {
    throw new Error(`another browser: ${version}`);
  }
  await evaluate("void (window.lines = { push: (line) => write(JSON.stringify(line)) })");
  return evaluate;
}

const send = ownState && (await open(ownState, "about:blank"));
let evaluate = null;
for await (const line of createInterface({ input: process.stdin })) {
  if (send) {
    const { method, params } = JSON.parse(line);
    const answer = await send(method, params).catch(({ message }) => ({ error: message }));
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  } else {
    evaluate = evaluate ?? (await openAdapter(JSON.parse(line).state));
    await evaluate(`void window.adapter(${JSON.stringify(line)})`);
  }
}
process.exit(0);
