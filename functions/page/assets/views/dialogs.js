/** The questions before an act. Each is asked once. */
import { Component, html } from "../html.js";
import { factorField, factorIn, otherFactor } from "./factor.js";
import { field, formFault, submit, submitButton } from "./form.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../app.js").Dialog} Dialog */
/** @typedef {import("../app.js").Proving} Proving */

/** The fields of each way to prove it. @type {Record<Exclude<Proving["way"], "external">, ("code" | "password" | import("../app.js").Way)[]>} */
const FIELDS = {
  password: ["password"],
  code: ["code"],
  both: ["code", "password"],
  totp: ["totp"],
  recovery_code: ["recovery_code"],
};

/**
 * A modal dialog. The browser keeps the focus inside, and gives it back afterwards.
 * @extends {Component<{ title: string, close: () => void }>}
 */
export class Modal extends Component {
  /** @type {HTMLDialogElement | null} */
  element = null;

  componentDidMount() {
    this.element?.showModal();
  }

  componentWillUnmount() {
    this.element?.close();
  }

  render() {
    const { title, close, children } = this.props;
    const cancel = (/** @type {Event} */ event) => {
      event.preventDefault();
      close();
    };
    const keep = (/** @type {HTMLDialogElement | null} */ element) => {
      this.element = element ?? this.element;
    };
    return html`
      <dialog ref=${keep} aria-labelledby="dialog-title" aria-describedby="dialog-text" onCancel=${cancel}>
        <h2 id="dialog-title">${title}</h2>
        ${children}
      </dialog>
    `;
  }
}

/**
 * @param {App} app
 * @param {Dialog} asked
 */
export function dialog(app, asked) {
  const [device] = asked.devices;
  const n = asked.devices.length;
  switch (asked.kind) {
    case "rename":
      return rename(app, device);
    case "everywhere":
      return everywhere(app, n);
    case "current":
      return question(app, app.say("confirm.current"), app.say("confirm.current_text"), app.say("device.sign_out"), () =>
        app.signOutHere(),
      );
    case "device":
      return question(
        app,
        app.say("confirm.device", { name: device.name }),
        app.say("confirm.device_text"),
        app.say("device.sign_out"),
        () => app.outcomes.signOut(asked.devices),
      );
    case "several":
      return question(
        app,
        app.say("confirm.several", { n }),
        app.say("confirm.several_text"),
        app.say("devices.sign_out_selected", { n }),
        () => app.outcomes.signOut(asked.devices),
      );
  }
}

/**
 * @param {App} app
 * @param {string} title
 * @param {unknown} text
 * @param {string} label
 * @param {() => void} act
 */
function question(app, title, text, label, act) {
  const close = () => app.update({ dialog: null });
  const confirm = () => {
    const [device] = app.dialog?.devices ?? [];
    app.update({ dialog: null, selection: null });
    act();
    app.focus(`#device-${device?.id}`, "h1");
  };
  return html`
    <${Modal} title=${title} close=${close}>
      <div class="dialog-text" id="dialog-text">${text}</div>
      <div class="buttons">
        <button type="button" onClick=${close}>${app.say("cancel")}</button>
        <button type="button" class="danger solid" onClick=${confirm}>${label}</button>
      </div>
    </${Modal}>
  `;
}

/**
 * @param {App} app
 * @param {number} others
 */
function everywhere(app, others) {
  const keeps = () => /** @type {HTMLInputElement | null} */ (document.getElementById("keep-this"))?.checked ?? true;
  const text = app.keepThis
    ? app.say("confirm.everywhere_others", { n: others })
    : app.say("confirm.everywhere_all", { n: others + 1 });
  const content = html`
    <p>${text}</p>
    <label class="check">
      <input id="keep-this" type="checkbox" checked=${app.keepThis} onChange=${() => app.update({ keepThis: keeps() })} />
      ${app.say("confirm.keep")}
    </label>
  `;
  const act = () => (app.keepThis ? app.outcomes.signOutOthers() : app.signOutEverywhere());
  return question(app, app.say("confirm.everywhere"), content, app.say("devices.everywhere"), act);
}

/**
 * @param {App} app
 * @param {import("../app.js").Device} device
 */
function rename(app, device) {
  const close = () => app.update({ dialog: null });
  const send = submit(app, async ({ name }) => app.rename(device, name), ["name"]);
  return html`
    <${Modal} title=${app.say("confirm.rename")} close=${close}>
      <form onSubmit=${send} novalidate>
        ${formFault(app)}
        ${field({ app, name: "name", label: app.say("device.name"), type: "text", autocomplete: "off", hint: app.say("device.name_hint"), value: device.name })}
        <div class="buttons">
          <button type="button" onClick=${close}>${app.say("cancel")}</button>
          ${submitButton(app, app.say("save"), app.say("save"))}
        </div>
      </form>
    </${Modal}>
  `;
}

/**
 * Asks who the person is. Then the act goes on by itself.
 * @param {App} app
 * @param {Proving} asked
 */
export function prove(app, asked) {
  const { challenge, form, way } = asked;
  if (way === "external") {
    return proveElsewhere(app, asked);
  }
  const fields = FIELDS[way];
  const email = app.session?.account.email ?? "";
  const isMailed = fields.includes("code");
  const isToSend = isMailed && challenge === null;
  const close = () => asked.answer(null);
  const send = submit(app, (values) => answer(app, asked, values), [], asked);
  return html`
    <${Modal} title=${app.say("prove.title")} close=${close}>
      <form onSubmit=${send} novalidate key=${`${asked.way}-${challenge}`}>
        <div class="dialog-text" id="dialog-text">
          <p>${app.say("prove.lead")}</p>
          ${isMailed && html`<p>${app.say(isToSend ? "address.lead" : "code.sent", { email })}</p>`}
        </div>
        ${formFault(asked)}
        <input type="email" autocomplete="username" value=${email} hidden readonly />
        ${!isToSend && fields.map((name) => proofField(app, name, form))} ${otherWays(app, asked)}
        <div class="buttons">
          <button type="button" onClick=${close}>${app.say("cancel")}</button>
          ${isToSend
            ? submitButton(app, app.say("prove.send"), app.say("code.busy"), form)
            : submitButton(app, app.say("address.submit"), app.say("address.busy"), form)}
        </div>
      </form>
    </${Modal}>
  `;
}

/**
 * Sends the person to the team's own login, in another tab. This one goes on by itself.
 * @param {App} app
 * @param {Proving} asked
 */
function proveElsewhere(app, asked) {
  const address = new URL(asked.verifyAt ?? "", document.baseURI);
  const close = () => asked.answer(null);
  address.searchParams.set("session", app.session?.session ?? "");
  address.searchParams.set("return_to", `${location.origin}${location.pathname}#/verified/`);
  return html`
    <${Modal} title=${app.say("prove.title")} close=${close}>
      <div class="dialog-text" id="dialog-text">
        <p>${app.say("prove.external")}</p>
        <p><a href=${address.protocol === "https:" ? address.href : null} target="_blank" rel="noopener">${app.say("prove.open")}</a></p>
      </div>
      <div class="buttons">
        <button type="button" onClick=${close}>${app.say("cancel")}</button>
        <button type="button" onClick=${() => asked.answer(true)}>${app.say("prove.done")}</button>
      </div>
    </${Modal}>
  `;
}

/**
 * @param {App} app
 * @param {"code" | "password" | import("../app.js").Way} name
 * @param {import("./form.js").Form} form
 */
function proofField(app, name, form) {
  switch (name) {
    case "code":
      return field({ app, form, name, label: app.say("code.code"), type: "text", autocomplete: "one-time-code" });
    case "password":
      return field({ app, form, name, label: app.say("sign_in.password"), type: "password", autocomplete: "current-password" });
    default:
      return factorField(app, name, form);
  }
}

/**
 * The other ways to prove it.
 * @param {App} app
 * @param {Proving} asked
 */
function otherWays(app, asked) {
  const { methods, way, challenge, form } = asked;
  const go = (/** @type {Partial<Proving>} */ change) => () => {
    if (!form.isBusy) {
      Object.assign(asked, change, { form: { isBusy: false, faults: {} } });
      app.focus("dialog input:not([hidden])", "dialog button[type=submit]");
    }
  };
  const has = (/** @type {string} */ proof) => methods.some((it) => it.length === 1 && it[0] === proof);
  const button = (/** @type {string} */ key, /** @type {Partial<Proving>} */ change) =>
    html`<button type="button" class="quiet" onClick=${go(change)}>${app.say(key)}</button>`;
  return html`<p class="tools">
    ${way !== "password" && challenge !== null && button("prove.again", { challenge: null })}
    ${(way === "totp" || way === "recovery_code") && otherFactor(app, way, (other) => go({ way: other })())}
    ${way === "password" && has("code") && button("prove.by_code", { way: "code" })}
    ${way === "code" && has("password") && button("prove.by_password", { way: "password" })}
  </p>`;
}

/**
 * Asks for a code, or verifies.
 * @param {App} app
 * @param {Proving} asked
 * @param {Record<string, string>} proofs
 */
async function answer(app, asked, proofs) {
  const isMailed = asked.way !== "external" && FIELDS[asked.way].includes("code");
  if (isMailed && asked.challenge === null) {
    asked.challenge = await app.curfew.requestVerificationCode();
    app.focus("dialog input:not([hidden])");
    return;
  }
  const { password, code } = proofs;
  const challenge = isMailed ? (asked.challenge ?? undefined) : undefined;
  await app.curfew.verify({ password, code, challenge, ...factorIn(proofs) });
  if (app.proving === asked) {
    asked.answer(true);
  }
}
