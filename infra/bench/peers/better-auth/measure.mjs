// Better Auth under measurement. It connects to the bench, takes commands as lines of
// JSON, and answers each with one. It is driven through its own HTTP handler, over
// SQLite in memory.
//
// `node measure.mjs measure PORT` measures; `node measure.mjs race PORT` lets sign-ins
// race with changes of the password, with a cheaper hash so that a thousand rounds
// end soon.

import { createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import { betterAuth } from "better-auth";
import { hashPassword, verifyPassword } from "better-auth/crypto";
import { getMigrations } from "better-auth/db/migration";
import Database from "better-sqlite3";

const ORIGIN = "https://auth.example.com";
const EMAIL = "lea@example.com";
const PASSWORD = "quiet otter borrows nine lanterns";
const OTHER_PASSWORD = "nine lanterns drift past the harbour";
const SECRET = randomBytes(32).toString("hex");
const USER_AGENT =
  "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36";

const races = process.argv[2] === "race";

/** SQLite that counts the statements it is asked for. */
class Counting extends Database {
  statements = 0;

  prepare(sql) {
    this.statements += 1;
    return super.prepare(sql);
  }
}

// Sign-ins are measured with the hash, and then without its cost.
let hashIsFree = false;

const cheap = promisify(scrypt);
// The same function on the same threads as the default one, a sixteenth of its cost.
const CHEAP = { N: 1024, r: 16, p: 1, maxmem: 64 * 1024 * 1024 };

const password = races
  ? {
      hash: async (text) => {
        const salt = randomBytes(16);
        const key = await cheap(text, salt, 64, CHEAP);
        return `${salt.toString("hex")}:${key.toString("hex")}`;
      },
      verify: async ({ hash, password: text }) => {
        const [salt, key] = hash.split(":").map((part) => Buffer.from(part, "hex"));
        return timingSafeEqual(await cheap(text, salt, 64, CHEAP), key);
      },
    }
  : {
      hash: hashPassword,
      verify: async (given) => hashIsFree || verifyPassword(given),
    };

const db = new Counting(":memory:");
const auth = betterAuth({
  baseURL: ORIGIN,
  secret: SECRET,
  database: db,
  emailAndPassword: { enabled: true, password },
  // It would refuse the bench.
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  logger: { level: "error" },
});
await (await getMigrations(auth.options)).runMigrations();

/** A request as an app's server gets it. */
function request(method, path, cookie, body) {
  const headers = {
    accept: "application/json",
    origin: ORIGIN,
    "user-agent": USER_AGENT,
    "x-forwarded-for": "192.0.2.1",
  };
  if (cookie) headers.cookie = cookie;
  if (body) headers["content-type"] = "application/json";
  const url = `${ORIGIN}/api/auth${path}`;
  return new Request(url, { method, headers, body: body && JSON.stringify(body) });
}

/** Asks, and reads the answer to its end. */
async function ask(asked) {
  const response = await auth.handler(asked);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

function done(answer) {
  if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.text}`);
  return answer;
}

/** The session's cookie among those that were set. */
function cookieOf(answer) {
  const set = answer.headers.getSetCookie();
  const cookie = set.find((text) => text.includes("session_token=") && !text.includes("Max-Age=0"));
  return cookie.split(";")[0];
}

const signIn = (text = PASSWORD) =>
  request("POST", "/sign-in/email", null, { email: EMAIL, password: text });

const isAlive = async (cookie) => {
  const answer = done(await ask(request("GET", "/get-session", cookie)));
  return answer.text !== "null";
};

// ---- the rows of sessions ----

const columns = () => Object.keys(rows[0]);
let rows = [];
let cookieName = "";

/** The cookie of a token, which carries its signature. */
function cookieFor(token) {
  const signature = createHmac("sha256", SECRET).update(token).digest("base64");
  return `${cookieName}=${encodeURIComponent(`${token}.${signature}`)}`;
}

/** Lets the account have so many sessions: one by a real sign-in, the others after its pattern. */
async function seed(sessions) {
  db.exec("DELETE FROM session");
  const cookie = cookieOf(done(await ask(signIn())));
  const own = db.prepare("SELECT * FROM session").get();
  cookieName = cookie.split("=")[0];
  if (cookieFor(own.token) !== cookie) throw new Error("cookies are signed in another way");
  rows = [own];
  while (rows.length < sessions) {
    const [id, token] = [randomBytes(24), randomBytes(24)];
    rows.push({ ...own, id: id.toString("base64url"), token: token.toString("base64url") });
  }
  restore();
}

/** Lets the sessions be again as they were seeded. */
function restore() {
  const insert = `INSERT INTO session (${columns().join()}) VALUES (${columns().map((name) => `@${name}`)})`;
  db.transaction(() => {
    db.exec("DELETE FROM session");
    const one = db.prepare(insert);
    for (const row of rows) one.run(row);
  })();
}

const own = () => cookieFor(rows[0].token);

/** What is measured: the request, and what has to be put right after it. */
const operations = {
  "sign-in": { ask: signIn, after: forgetNew },
  "sign-in, no hash": { ask: signIn, after: forgetNew, free: true },
  check: { ask: () => request("GET", "/get-session", own()) },
  list: { ask: () => request("GET", "/list-sessions", own()) },
  "end one": {
    ask: () => request("POST", "/revoke-session", own(), { token: rows[1].token }),
    after: restore,
  },
  "end others": {
    ask: () => request("POST", "/revoke-other-sessions", own(), {}),
    after: restore,
  },
};

/** Takes the session away that a sign-in has made. */
function forgetNew(answer) {
  db.prepare("DELETE FROM session WHERE token = ?").run(JSON.parse(answer.text).token);
}

/** Processor milliseconds of this process, of all its threads. */
function processor() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function round(operation) {
  const asked = operation.ask();
  const statements = db.statements;
  const before = processor();
  const answer = await ask(asked);
  const cpu = processor() - before;
  const queries = db.statements - statements;
  done(answer);
  operation.after?.(answer);
  return { cpu, queries };
}

/** Rounds until there are enough or the time is over; the first ones only warm up. */
async function measure({ operation: name, rounds, seconds, warm_seconds: warmSeconds }) {
  const operation = operations[name];
  hashIsFree = operation.free ?? false;
  let end = performance.now() + warmSeconds * 1000;
  for (let n = 0; n < 1000 && performance.now() < end; n += 1) await round(operation);
  const cpu = [];
  let queries = 0;
  end = performance.now() + seconds * 1000;
  while (cpu.length < rounds && (cpu.length < 3 || performance.now() < end)) {
    const it = await round(operation);
    cpu.push(it.cpu);
    queries = it.queries;
  }
  hashIsFree = false;
  return { cpu_ms: cpu, queries };
}

let last = null;

/** One round, of which the bench takes the time. */
async function once({ operation: name }) {
  const operation = operations[name];
  hashIsFree = operation.free ?? false;
  const answer = done(await ask(operation.ask()));
  hashIsFree = false;
  last = { operation, answer };
}

/** Puts right what the last such round has changed. */
function undo() {
  last.operation.after?.(last.answer);
}

/** The hash alone. */
async function hash({ rounds }) {
  const stored = await hashPassword(PASSWORD);
  const cpu = [];
  for (let n = 0; n < rounds + 3; n += 1) {
    const before = processor();
    await verifyPassword({ hash: stored, password: PASSWORD });
    if (n >= 3) cpu.push(processor() - before);
  }
  return { cpu_ms: cpu, queries: 0 };
}

/** Ends the other sessions, and presents every one of their tokens. */
async function survivors() {
  done(await ask(operations["end others"].ask()));
  let alive = 0;
  for (const row of rows.slice(1)) alive += Number(await isAlive(cookieFor(row.token)));
  restore();
  return { presented: rows.length - 1, alive };
}

// ---- the race ----

let current = PASSWORD;
let owner = "";
// How long each takes alone, in milliseconds.
const typical = { signIn: 0, change: 0 };

const change = (from, to) =>
  request("POST", "/change-password", owner, {
    currentPassword: from,
    newPassword: to,
    revokeOtherSessions: true,
  });

const other = (text) => (text === PASSWORD ? OTHER_PASSWORD : PASSWORD);

/** Does something from a moment on; tells its answer, and when it began and ended. */
async function from(moment, act) {
  while (performance.now() < moment) await turn();
  const began = performance.now();
  const answer = await act();
  return { answer, began, ended: performance.now() };
}

async function changePassword() {
  const changed = done(await ask(change(current, other(current))));
  owner = cookieOf(changed);
  current = other(current);
}

async function rehearse() {
  owner = cookieOf(done(await ask(signIn(current))));
  const took = { signIn: [], change: [] };
  for (let n = 0; n < 30; n += 1) {
    let began = performance.now();
    done(await ask(signIn(current)));
    took.signIn.push(performance.now() - began);
    began = performance.now();
    await changePassword();
    took.change.push(performance.now() - began);
  }
  for (const name of ["signIn", "change"]) {
    typical[name] = took[name].sort((a, b) => a - b)[15];
  }
}

/** Rounds of a sign-in with the old password while it is changed, at random moments. */
async function race({ rounds }) {
  if (!owner) await rehearse();
  let [signedIn, overlapping, alive, lost] = [0, 0, 0, 0];
  for (let n = 0; n < rounds; n += 1) {
    const old = current;
    // So that each may begin at any moment of the other.
    const offset = Math.random() * (typical.signIn + typical.change) - typical.signIn;
    const start = performance.now() + 1;
    const [entry, changed] = await Promise.all([
      from(start + Math.max(offset, 0), () => ask(signIn(old))),
      from(start - Math.min(offset, 0), () => ask(change(old, other(old)))),
    ]);
    owner = cookieOf(done(changed.answer));
    current = other(old);
    if (entry.answer.status === 200) {
      signedIn += 1;
      overlapping += Number(entry.began < changed.ended && changed.began < entry.ended);
      alive += Number(await isAlive(cookieOf(entry.answer)));
    } else if (entry.answer.status !== 401) {
      throw new Error(`signing in: ${entry.answer.status}`);
    }
    if (!(await isAlive(owner))) {
      lost += 1;
      owner = cookieOf(done(await ask(signIn(current))));
    }
  }
  return { rounds, signed_in: signedIn, overlapping, alive, lost };
}

// ---- commands ----

function about() {
  const version = (name) => {
    const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
    return `${name} ${JSON.parse(readFileSync(file)).version}`;
  };
  return {
    process: process.pid,
    versions: [
      version("better-auth"),
      version("better-sqlite3"),
      `SQLite ${db.prepare("SELECT sqlite_version() AS it").get().it}`,
      `Node.js ${process.versions.node}`,
    ],
  };
}

const commands = {
  about,
  seed: ({ sessions }) => seed(sessions),
  measure,
  once,
  undo,
  hash,
  survivors,
  race,
};

const name = "Lea";
done(await ask(request("POST", "/sign-up/email", null, { email: EMAIL, password: PASSWORD, name })));
const bench = connect(Number(process.argv[3]), "127.0.0.1");
for await (const line of createInterface({ input: bench })) {
  const command = JSON.parse(line);
  const answer = (await commands[command.do](command)) ?? {};
  bench.write(`${JSON.stringify(answer)}\n`);
}
process.exit();
