/** The languages of the page, by their tag (RFC 5646). English comes with the page. */
import en from "./en.js";

/** @type {Record<string, { name: string, load: () => Promise<import("../text.js").Texts> }>} */
export const LANGUAGES = {
  en: { name: "English", load: async () => en },
  es: { name: "Español", load: async () => (await import("./es.js")).default },
  de: { name: "Deutsch", load: async () => (await import("./de.js")).default },
};

/**
 * Returns the tag of the first wanted language that the page has, or English.
 * @param {readonly string[]} wanted
 */
export function choose(wanted) {
  const tags = wanted.map((tag) => tag.toLowerCase().split("-")[0]);
  return tags.find((tag) => Object.keys(LANGUAGES).includes(tag)) ?? "en";
}
