/** The configuration of the page, `config.json`: what a team may change without a fork. */

/**
 * @typedef {object} Config
 * @property {string} name the product's name
 * @property {string | null} logo the address of an image
 * @property {string | null} accent a colour, `#rrggbb`
 * @property {number} radius the radius of corners, in pixels
 * @property {{ text: string, url: string }[]} links the links of the footer
 * @property {Record<string, import("./text.js").Texts>} texts texts that replace those of the page, by language
 * @property {string} api the address of the API, relative to the page
 * @property {"cookie" | "bearer"} transport `cookie` where page and API share a site
 * @property {number} password_min_length in characters
 * @property {number} session_idle_days days without use after which a session expires
 */

/** @type {Config} */
const DEFAULTS = {
  name: "Curfew",
  logo: null,
  accent: null,
  radius: 12,
  links: [],
  texts: {},
  api: ".",
  transport: "cookie",
  password_min_length: 15,
  session_idle_days: 30,
};

/**
 * Loads the configuration that stands beside the page.
 * @returns {Promise<Config>}
 */
export async function load() {
  const response = await fetch("config.json", { credentials: "same-origin", redirect: "error" });
  if (!response.ok) {
    throw new Error(`config.json: status ${response.status}`);
  }
  return checked(await response.json());
}

/**
 * Drops what is malformed, so that a wrong configuration can't run anything.
 * @param {any} given
 * @returns {Config}
 */
export function checked(given) {
  const config = { ...DEFAULTS, ...given };
  const isColour = /^#[0-9a-f]{6}$/i.test(String(config.accent));
  return {
    ...config,
    name: String(config.name),
    logo: isAddress(config.logo, ["https:", "data:"]) ? config.logo : null,
    accent: isColour ? config.accent : null,
    radius: Number.isFinite(config.radius) ? Math.min(Math.max(config.radius, 0), 32) : DEFAULTS.radius,
    links: Array.isArray(config.links)
      ? config.links.filter((/** @type {any} */ link) => isAddress(link?.url, ["https:", "mailto:"]))
      : [],
    texts: textsOf(config.texts),
    transport: config.transport === "bearer" ? "bearer" : "cookie",
  };
}

/**
 * Keeps the texts that can be shown.
 * @param {any} given
 */
function textsOf(given) {
  const isText = (/** @type {any} */ text) => typeof (text?.other ?? text) === "string";
  const languages = Object.entries(typeof given === "object" && given !== null ? given : {});
  return Object.fromEntries(
    languages.map(([tag, texts]) => [
      tag,
      Object.fromEntries(Object.entries(texts ?? {}).filter(([, text]) => isText(text))),
    ]),
  );
}

/**
 * @param {unknown} address
 * @param {string[]} schemes
 */
function isAddress(address, schemes) {
  try {
    return typeof address === "string" && schemes.includes(new URL(address).protocol);
  } catch {
    return false;
  }
}
