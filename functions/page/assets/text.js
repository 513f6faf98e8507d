/** Texts in one language, and dates, numbers and places as that language writes them. */
import en from "./languages/en.js";

/** @typedef {string | { one: string, other: string, [category: string]: string }} Text */
/** @typedef {Record<string, Text>} Texts */

const MINUTE = 60_000;
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["year", 365 * 24 * 60 * MINUTE],
  ["month", 30 * 24 * 60 * MINUTE],
  ["week", 7 * 24 * 60 * MINUTE],
  ["day", 24 * 60 * MINUTE],
  ["hour", 60 * MINUTE],
  ["minute", MINUTE],
];
/** The languages that are written from right to left. */
const RIGHT_TO_LEFT = ["ar", "fa", "he", "ur"];

export class Language {
  #texts;
  #plural;
  #number;
  #date;
  #day;
  #time;
  #relative;
  #regions;

  /**
   * @param {string} tag
   * @param {...Texts} texts later ones win
   */
  constructor(tag, ...texts) {
    this.tag = tag;
    this.direction = RIGHT_TO_LEFT.includes(tag) ? "rtl" : "ltr";
    /** @type {Texts} */
    this.#texts = Object.assign({}, en, ...texts);
    this.#plural = new Intl.PluralRules(tag);
    this.#number = new Intl.NumberFormat(tag);
    this.#date = new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "short" });
    this.#day = new Intl.DateTimeFormat(tag, { dateStyle: "medium" });
    this.#time = new Intl.DateTimeFormat(tag, { timeStyle: "short" });
    this.#relative = new Intl.RelativeTimeFormat(tag, { numeric: "auto" });
    this.#regions = new Intl.DisplayNames(tag, { type: "region" });
  }

  /** @param {string} key */
  has(key) {
    return this.#texts[key] !== undefined;
  }

  /**
   * Returns a text with its `{name}` parts filled in. `n` chooses between forms.
   * @param {string} key
   * @param {Record<string, string | number>} [values]
   */
  say(key, values = {}) {
    const text = this.#texts[key] ?? key;
    const form = typeof text === "string" ? text : (text[this.#plural.select(Number(values.n))] ?? text.other);
    return form.replace(/\{(\w+)\}/g, (/** @type {string} */ whole, /** @type {string} */ name) => {
      const value = values[name];
      return typeof value === "number" ? this.#number.format(value) : (value ?? whole);
    });
  }

  /** @param {string} at */
  date(at) {
    return this.#date.format(new Date(at));
  }

  /**
   * Returns the day alone of what is older than a week, otherwise date and time.
   * @param {string} at
   * @param {number} now
   */
  when(at, now) {
    const isOld = now - Date.parse(at) > 7 * 24 * 60 * MINUTE;
    return isOld ? this.#day.format(new Date(at)) : this.date(at);
  }

  /**
   * Returns the time alone on the same day, otherwise date and time.
   * @param {string} at
   * @param {number} now
   */
  time(at, now) {
    const isToday = new Date(at).toDateString() === new Date(now).toDateString();
    return isToday ? this.#time.format(new Date(at)) : this.date(at);
  }

  /**
   * Returns how long ago a time was, in its largest whole unit.
   * @param {string} at
   * @param {number} now
   */
  ago(at, now) {
    const ms = Math.max(0, now - Date.parse(at));
    const [unit, length] = UNITS.find(([, length]) => ms >= length) ?? ["minute", MINUTE];
    return this.#relative.format(-Math.floor(ms / length), unit);
  }

  /** @param {{ city: string | null, country: string | null } | null} location */
  place(location) {
    const country = location?.country ? this.#region(location.country) : null;
    return [location?.city, country].filter(Boolean).join(", ");
  }

  /** @param {string} code */
  #region(code) {
    try {
      return this.#regions.of(code) ?? code;
    } catch {
      return code;
    }
  }
}
