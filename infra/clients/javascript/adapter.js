/**
 * The adapter of the module for the suite of clients: takes the commands of
 * infra/docs/devices.md, one JSON text each, and sends answers and events. It works
 * in a page and in Node, which differ in their storages.
 *
 * `places` are the storages of the app's own data: objects with `put(key, value)`,
 * `entries()` and `clear()`.
 */
import { Curfew, CurfewError } from "./curfew.js";

export function adapter({ send, configured }) {
  let curfew = null;
  let places = [];
  let read = null;
  /** The factor of the command that signs in, which is tried once. */
  let factor = null;

  const report = (event, details = {}) => send({ event, ...details });

  const commands = {
    async configure({ api_url: api, device, reconnect_cap_ms: cap, state }) {
      const { options, ...own } = await configured(state);
      ({ places, read } = own);
      curfew = new Curfew({
        api,
        device,
        timing: { reconnectCapMs: cap, reconnectBaseMs: Math.min(cap, 100) },
        secondStepRequired: async () => {
          const shown = factor;
          factor = null;
          return shown;
        },
        onConnected: () => report("connected"),
        onDisconnected: () => report("disconnected"),
        onStop: () => report("stopped"),
        onWipe: () => Promise.all(places.map((place) => place.clear())),
        onWiped: () => report("wiped"),
        onAcknowledged: () => report("acknowledged"),
        onSignInScreen: (ended) => report("sign_in_screen", ended ?? {}),
        onError: (error) => report("error", { detail: String(error?.stack ?? error), cause: String(error?.cause ?? "") }),
        ...options,
      });
      await curfew.start();
    },
    async sign_in({ email, password, totp, recovery_code: recoveryCode, remember }) {
      factor = totp || recoveryCode ? { totp, recoveryCode, remember } : null;
      const { device } = await curfew.signIn({ email, password });
      return { device_id: device.id };
    },
    async store({ key, value }) {
      await Promise.all(places.map((place) => place.put(key, value)));
    },
    async stored() {
      const found = await Promise.all(places.map((place) => place.entries()));
      const has = async (what) => (await read(`curfew.${what}`)) !== null;
      return {
        entries: Object.assign({}, ...found),
        token: await has("session"),
        device_key: await has("device"),
      };
    },
    async call({ method, path }) {
      let response;
      try {
        response = await curfew.fetch(path, { method });
      } catch (error) {
        if (error instanceof CurfewError) {
          throw error;
        }
        return { status: 0, problem: null };
      }
      const document = await response.json().catch(() => null);
      return { status: response.status, problem: nameOf(document) };
    },
    async request_verification_code() {
      return { challenge: await curfew.requestVerificationCode() };
    },
    async verify({ password, challenge, code, totp, recovery_code: recoveryCode, external }) {
      await curfew.verify({ password, challenge, code, totp, recoveryCode, external });
    },
    async sign_out_device({ device }) {
      return { sign_out: (await curfew.signOutDevice(device)).id };
    },
    async sign_out({ scope }) {
      const signOut = await (scope === "local" ? curfew.signOut() : curfew.signOutAll(scope));
      return { sign_out: signOut.id };
    },
    async change_password({ current_password, new_password, keep_current }) {
      const signOut = await curfew.changePassword({
        currentPassword: current_password,
        newPassword: new_password,
        keepCurrent: keep_current,
      });
      return { sign_out: signOut.id };
    },
    async end() {
      curfew?.close();
    },
  };

  return async function receive(text) {
    const { id, do: name, ...details } = JSON.parse(text);
    try {
      if (!Object.prototype.hasOwnProperty.call(commands, name)) {
        throw new Error(`unknown command: ${name}`);
      }
      send({ id, ok: true, ...(await commands[name](details)) });
    } catch (error) {
      const { problem = null, methods = null } = error;
      send({ id, ok: false, problem, methods, detail: String(error.message) });
    }
  };
}

function nameOf(document) {
  const type = document?.type;
  return typeof type === "string" && type.startsWith("urn:curfew:problem:")
    ? type.slice("urn:curfew:problem:".length)
    : null;
}
