/** Applies the team's colours and corners. */

const LIGHT = [255, 255, 255];
const DARK = [24, 28, 34];

/**
 * Sets the custom properties that `style.css` reads.
 * @param {import("./config.js").Config} config
 */
export function apply(config) {
  const { style } = document.documentElement;
  style.setProperty("--radius", `${config.radius}px`);
  if (config.accent === null) {
    return;
  }
  const accent = parse(config.accent);
  for (const [name, surface, towards] of /** @type {[string, number[], number[]][]} */ ([
    ["light", LIGHT, [0, 0, 0]],
    ["dark", DARK, [255, 255, 255]],
  ])) {
    const readable = against(surface, accent, towards);
    style.setProperty(`--accent-${name}`, write(readable));
    style.setProperty(`--on-accent-${name}`, contrast(readable, LIGHT) >= 4.5 ? "#ffffff" : "#10131a");
  }
}

/**
 * Mixes a colour with another until it can be read on a surface (WCAG 2.2, 1.4.3).
 * @param {number[]} surface
 * @param {number[]} colour
 * @param {number[]} towards
 */
function against(surface, colour, towards) {
  for (let share = 0; share <= 1; share += 0.05) {
    const mixed = colour.map((part, index) => part + (towards[index] - part) * share);
    if (contrast(mixed, surface) >= 5) {
      return mixed;
    }
  }
  return towards;
}

/** @param {string} colour */
function parse(colour) {
  return [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
}

/** @param {number[]} colour */
function write(colour) {
  return `#${colour.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;
}

/**
 * The contrast ratio of WCAG 2.2.
 * @param {number[]} a
 * @param {number[]} b
 */
function contrast(a, b) {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

/** @param {number[]} colour */
function luminance(colour) {
  const [red, green, blue] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
