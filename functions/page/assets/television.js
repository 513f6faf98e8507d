/** Televisions: larger text, and a focus that moves with the arrow keys of a remote control. */

/** Parts of the User-Agents of televisions and of the boxes and sticks that drive them. */
const TELEVISION = /\bTV\b|SMART-TV|SmartTV|AppleTV|GoogleTV|Tizen|Web0S|NetCast|BRAVIA|CrKey|\bAFT|Roku|HbbTV/;

const FOCUSABLE = "a[href], button, input, select, [tabindex='0']";
/** @type {Record<string, [x: number, y: number]>} */
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function adaptToTelevision() {
  if (!TELEVISION.test(navigator.userAgent)) {
    return;
  }
  document.documentElement.classList.add("television");
  document.addEventListener("keydown", (event) => {
    const direction = DIRECTIONS[event.key];
    if (!direction || usesArrow(document.activeElement, direction)) {
      return;
    }
    const next = nearest(document.activeElement, direction);
    if (next) {
      event.preventDefault();
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    }
  });
}

/**
 * Returns whether a field needs the key itself: to move in its text, or in its list.
 * @param {Element | null} element
 * @param {[x: number, y: number]} direction
 */
function usesArrow(element, [x]) {
  return (element instanceof HTMLInputElement && element.type !== "checkbox" && x !== 0) || element instanceof HTMLSelectElement && x !== 0;
}

/**
 * Returns the nearest element in a direction. What lies to the side counts double.
 * @param {Element | null} from
 * @param {[x: number, y: number]} direction
 */
function nearest(from, [x, y]) {
  const scope = document.querySelector("dialog[open]") ?? document.body;
  const all = /** @type {HTMLElement[]} */ ([...scope.querySelectorAll(FOCUSABLE)]).filter(
    (element) => element.getClientRects().length > 0 && element !== from,
  );
  if (!from || from === document.body) {
    return all[0];
  }
  const start = middle(from);
  let best;
  let least = Infinity;
  for (const element of all) {
    const end = middle(element);
    const [right, down] = [end.x - start.x, end.y - start.y];
    const ahead = right * x + down * y;
    const aside = Math.abs(right * y) + Math.abs(down * x);
    if (ahead > 1 && ahead + 2 * aside < least) {
      least = ahead + 2 * aside;
      best = element;
    }
  }
  return best;
}

/** @param {Element} element */
function middle(element) {
  const { left, top, width, height } = element.getBoundingClientRect();
  return { x: left + width / 2, y: top + height / 2 };
}
