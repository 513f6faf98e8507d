/**
 * The sign-outs of this visit, each followed until every device has reported its wipe.
 * Nothing counts as done before the API has answered.
 */
import { CurfewError } from "./curfew.js";

/** @typedef {import("./curfew.js").Device} Device */
/** @typedef {import("./curfew.js").Receipt} Receipt */

/**
 * @typedef {object} Outcome
 * @property {string} key the device's id, or `others`
 * @property {Device | null} device null for all others
 * @property {"pending" | "checking" | "still" | "failed" | "gone" | "accepted"} state
 * @property {string | null} problem
 * @property {string | null} signOut the id of the sign-out
 * @property {Receipt | null} receipt
 */

/** The first and the longest wait between two looks at a receipt. */
const LOOK_MS = [400, 60_000];
/** The wait before asking again what happened, after a lost answer. */
const ASK_MS = 2_000;

export class Outcomes {
  /** @type {Map<string, Outcome>} */
  #all;
  #app;

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.#all = new Map();
    this.#app = app;
  }

  /** Returns the sign-out of this session of a device. @param {Device} device */
  of(device) {
    const outcome = this.#all.get(device.id);
    return outcome?.device && isSame(outcome.device, device) ? outcome : undefined;
  }

  /** Returns the sign-out of all other devices. */
  ofOthers() {
    return this.#all.get("others");
  }

  /** Returns the devices that were signed out on this visit. */
  devices() {
    return [...this.#all.values()].flatMap(({ device }) => (device === null ? [] : [device]));
  }

  /** @param {string} key */
  dismiss(key) {
    this.#all.delete(key);
    this.#app.update();
  }

  clear() {
    this.#all.clear();
  }

  /**
   * Signs devices out, one after another.
   * @param {Device[]} devices
   */
  async signOut(devices) {
    const outcomes = devices
      .filter(({ id }) => !this.#isUnderWay(id))
      .map((device) => this.#begin(device.id, device));
    /** @type {unknown} */
    let cancelled = null;
    for (const outcome of outcomes) {
      if (!this.#isCurrent(outcome)) {
        return;
      }
      const refused = await this.#act(outcome, async () => {
        if (cancelled !== null) {
          throw cancelled;
        }
        return (await this.#app.curfew.signOutDevice(outcome.key)).id;
      });
      // Who does not say who they are is not asked again for each device.
      cancelled = isCancelled(refused) ? refused : null;
    }
    await this.#app.loadDevices();
  }

  /** Signs out every other device. */
  async signOutOthers() {
    if (this.#isUnderWay("others")) {
      return;
    }
    const outcome = this.#begin("others", null);
    await this.#act(outcome, async () => (await this.#app.curfew.signOutAll("others")).id);
    await this.#app.loadDevices();
  }

  /** @param {string} key */
  #isUnderWay(key) {
    return ["pending", "checking"].includes(this.#all.get(key)?.state ?? "");
  }

  /**
   * @param {string} key
   * @param {Device | null} device
   */
  #begin(key, device) {
    /** @type {Outcome} */
    const outcome = { key, device, state: "pending", problem: null, signOut: null, receipt: null };
    this.#all.set(key, outcome);
    this.#app.update();
    return outcome;
  }

  /**
   * Returns the error of an act that was refused, or null.
   * @param {Outcome} outcome
   * @param {() => Promise<string>} act
   * @returns {Promise<unknown>}
   */
  async #act(outcome, act) {
    const { session } = this.#app;
    let refused = null;
    try {
      outcome.signOut = await act();
      outcome.state = "accepted";
    } catch (error) {
      if (isLost(error)) {
        await this.#findOut(outcome);
      } else {
        refused = error;
        outcome.state = "failed";
        outcome.problem = this.#app.problem(error);
      }
    }
    if (session !== this.#app.session || this.#app.session === null) {
      return refused;
    }
    this.#announce(outcome);
    if (outcome.signOut !== null) {
      void this.#follow(outcome);
    }
    return refused;
  }

  /**
   * Asks what happened to a sign-out whose answer was lost.
   * @param {Outcome} outcome
   */
  async #findOut(outcome) {
    outcome.state = "checking";
    while (this.#isCurrent(outcome)) {
      this.#app.update();
      const devices = await this.#app.loadDevices();
      if (devices !== null) {
        const isStill = devices.some((device) => (outcome.device ? isSame(device, outcome.device) : !device.current));
        outcome.state = isStill ? "still" : "gone";
        if (!isStill && outcome.device !== null) {
          outcome.signOut = await this.#signOutOf(outcome.device);
          outcome.state = outcome.signOut === null ? "gone" : "accepted";
        }
        return;
      }
      await sleep(ASK_MS);
    }
  }

  /**
   * Finds the sign-out that ended a device's session.
   * @param {Device} device
   */
  async #signOutOf(device) {
    try {
      let cursor;
      do {
        const page = await this.#app.curfew.devices({ status: "signed_out", cursor });
        const found = page.devices.find((past) => isSame(past, device));
        if (found) {
          return found.sign_out ?? null;
        }
        cursor = page.next_cursor ?? undefined;
      } while (cursor);
    } catch (error) {
      console.warn(error);
    }
    return null;
  }

  /** @param {Outcome} outcome */
  async #follow(outcome) {
    let [wait, longest] = LOOK_MS;
    while (this.#isCurrent(outcome) && !isComplete(outcome)) {
      if (!document.hidden) {
        try {
          await this.#look(outcome);
        } catch (error) {
          console.warn(error);
        }
      }
      await sleep(wait);
      wait = Math.min(wait * 1.5, longest);
    }
  }

  /** @param {Outcome} outcome */
  async #look(outcome) {
    const before = JSON.stringify(outcome.receipt?.total);
    const receipt = await this.#app.curfew.receipt(/** @type {string} */ (outcome.signOut), { limit: 1000 });
    if (this.#isCurrent(outcome)) {
      outcome.receipt = receipt;
      if (before !== JSON.stringify(receipt.total)) {
        this.#announce(outcome);
      }
    }
  }

  /** @param {Outcome} outcome */
  #isCurrent(outcome) {
    return this.#all.get(outcome.key) === outcome;
  }

  /** @param {Outcome} outcome */
  #announce(outcome) {
    const name = outcome.device?.name ?? this.#app.say("outcome.others");
    this.#app.announce(`${name}: ${describe(this.#app, outcome)}`);
  }
}

/**
 * Returns the sentence about an outcome.
 * @param {import("./app.js").App} app
 * @param {Outcome} outcome
 */
export function describe(app, outcome) {
  if (outcome.state === "failed") {
    return app.say("outcome.failed", { problem: outcome.problem ?? "" });
  }
  if (outcome.device === null && ["gone", "still"].includes(outcome.state)) {
    return app.say(`outcome.others_${outcome.state}`);
  }
  if (outcome.state !== "accepted" || outcome.receipt === null) {
    return app.say(`outcome.${outcome.state}`);
  }
  if (outcome.device === null) {
    return totals(app, outcome.receipt.total);
  }
  const part = outcome.receipt.devices.find(({ id }) => id === outcome.device?.id);
  if (!part) {
    return app.say("outcome.accepted");
  }
  const at = { wiped: part.wiped_at, notified: part.notified_at, seen: part.seen_at, not_reached: null }[part.state];
  return app.say(`outcome.${part.state}`, at === null ? {} : { time: app.language.time(at, Date.now()) });
}

/**
 * Returns the counts of a receipt, such as "5 signed out · 4 wiped · 1 not reached".
 * @param {import("./app.js").App} app
 * @param {Receipt["total"]} total
 */
export function totals(app, total) {
  if (total.devices === 0) {
    return app.say("outcome.nobody");
  }
  const counts = Object.entries(total).filter(([name, n]) => name === "devices" || n > 0);
  return counts.map(([name, n]) => app.say(`total.${name}`, { n })).join(" · ");
}

/**
 * Returns the name of the sign that stands for an outcome.
 * @param {Outcome} outcome
 */
export function signOf(outcome) {
  if (["failed", "still"].includes(outcome.state)) {
    return "failed";
  }
  return isComplete(outcome) ? "done" : "waiting";
}

/**
 * Returns whether nothing more can become known of an outcome.
 * @param {Outcome} outcome
 */
function isComplete({ receipt, device }) {
  if (receipt === null) {
    return false;
  }
  const part = device && receipt.devices.find(({ id }) => id === device.id);
  return part ? part.state === "wiped" : receipt.total.wiped === receipt.total.devices;
}

/**
 * Returns whether a call may have been carried out although it failed.
 * @param {unknown} error
 */
export function isLost(error) {
  return error instanceof CurfewError && error.passes && error.status !== 429;
}

/**
 * Returns whether the person was asked who they are, and did not say.
 * @param {unknown} error
 */
function isCancelled(error) {
  return error instanceof CurfewError && error.problem === "verification-required";
}

/**
 * Returns whether two views are of one session of one device.
 * @param {Device} a
 * @param {Device} b
 */
function isSame(a, b) {
  return a.id === b.id && a.signed_in_at === b.signed_in_at;
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
