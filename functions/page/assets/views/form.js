/** Forms that password managers and screen readers understand. */
import { Component, html } from "../html.js";

/** @typedef {import("../app.js").App} App */

/**
 * @typedef {object} Field
 * @property {App} app
 * @property {string} name
 * @property {string} label
 * @property {string} autocomplete
 * @property {"email" | "password" | "text"} type
 * @property {string} [hint]
 * @property {string} [value]
 * @property {"numeric"} [inputmode] the keyboard of a phone
 * @property {Form} [form] the page's, if none is given
 */

/** @typedef {{ isBusy: boolean, faults: Record<string, string> }} Form */

/** A field with its label, its hint and its fault. @extends {Component<Field, { isShown: boolean }>} */
class FieldView extends Component {
  state = { isShown: false };

  render() {
    const { app, name, label, autocomplete, type, hint, value, inputmode, form = app.form } = this.props;
    const fault = form.faults[name];
    const described = [fault && `${name}-fault`, hint && `${name}-hint`].filter(Boolean).join(" ");
    const isPassword = type === "password";
    const toggle = () => this.setState({ isShown: !this.state.isShown });
    return html`
      <div class="field">
        <label for=${name}>${label}</label>
        ${hint && html`<p class="hint" id=${`${name}-hint`}>${hint}</p>`}
        <input
          id=${name}
          name=${name}
          type=${isPassword && this.state.isShown ? "text" : type}
          autocomplete=${autocomplete}
          inputmode=${inputmode}
          autocapitalize="none"
          spellcheck=${false}
          dir=${type === "text" ? "auto" : "ltr"}
          defaultValue=${value ?? ""}
          aria-invalid=${fault ? "true" : null}
          aria-describedby=${described || null}
        />
        ${fault && html`<p class="fault" id=${`${name}-fault`}>${fault}</p>`}
        ${isPassword &&
        html`<label class="check">
          <input type="checkbox" checked=${this.state.isShown} onChange=${toggle} /> ${app.say("sign_in.show")}
        </label>`}
      </div>
    `;
  }
}

/** @param {Field} props */
export function field(props) {
  return html`<${FieldView} key=${props.name} ...${props} />`;
}

/**
 * Returns the handler of a form. It checks that every field is filled in, sends once
 * at a time, and moves the focus to the first fault.
 * @param {App} app
 * @param {(values: Record<string, string>, form: HTMLFormElement, button: string) => Promise<void>} send
 *   gets the values, the form, and the name of the pressed button
 * @param {string[]} optional the fields that may be empty
 * @param {{ form: Form }} owner what has the form's state
 */
export function submit(app, send, optional = [], owner = app) {
  return async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (owner.form.isBusy) {
      return;
    }
    const button = /** @type {HTMLButtonElement | null} */ (event.submitter)?.name ?? "";
    const values = valuesOf(form);
    const empty = Object.keys(values).filter((name) => values[name] === "" && !optional.includes(name));
    let faults = Object.fromEntries(empty.map((name) => [name, app.say("problem.required")]));
    if (empty.length === 0) {
      owner.form = { isBusy: true, faults: {} };
      app.update();
      try {
        await send(values, form, button);
      } catch (error) {
        faults = app.faults(error);
      }
    }
    owner.form = { isBusy: false, faults };
    if (Object.keys(faults).length > 0) {
      app.focus("form [aria-invalid=true]", "form [role=alert]");
    } else {
      app.update();
    }
  };
}

/** @param {HTMLFormElement} form */
function valuesOf(form) {
  /** @type {Record<string, string>} */
  const values = {};
  for (const input of form.querySelectorAll("input[name]")) {
    const { name, type, value } = /** @type {HTMLInputElement} */ (input);
    if (type !== "checkbox") {
      values[name] = value;
    }
  }
  return values;
}

/**
 * A message about the whole form.
 * @param {{ form: Form }} owner
 */
export function formFault({ form }) {
  const fault = form.faults.form;
  return fault && html`<p class="fault" role="alert" tabindex="-1">${fault}</p>`;
}

/**
 * @param {App} app
 * @param {string} text
 * @param {string} busy
 * @param {Form} form
 */
export function submitButton(app, text, busy, form = app.form) {
  return html`<button type="submit" class="primary" aria-disabled=${form.isBusy ? "true" : null}>
    ${form.isBusy ? busy : text}
  </button>`;
}
