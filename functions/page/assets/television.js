/** Televisions: larger text, and a focus that moves with the arrow keys of a remote control. */

/** Parts of the User-Agents of televisions and of the boxes and sticks that drive them. */
const TELEVISION = /\bTV\b|SMART-TV|SmartTV|AppleTV|GoogleTV|Tizen|Web0S|NetCast|BRAVIA|CrKey|\bAFT|Roku|HbbTV/;

const FOCUSABLE = "a[href], button, input, select, [tabindex='0']";
/** The most by which the middles of one row differ, in pixels. */
const ROW = 30;
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
    // A list that is closed would take the key as another choice.
    event.preventDefault();
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
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
 * Returns the next element of the same row, or the nearest one of the next row.
 * @param {Element | null} from
 * @param {[x: number, y: number]} direction
 */
function nearest(from, [x, y]) {
  const scope = document.querySelector("dialog[open]") ?? document.body;
  const all = /** @type {HTMLElement[]} */ ([...scope.querySelectorAll(FOCUSABLE)]).filter(
    (element) => element.getClientRects().length > 0 && element !== from,
  );
  if (!from || from === document.body) {
    return all.find((element) => element.closest("main, dialog"));
  }
  const start = middle(from);
  const ahead = all
    .map((element) => {
      const end = middle(element);
      const [right, down] = [end.x - start.x, end.y - start.y];
      return { element, far: right * x + down * y, aside: Math.abs(right * y) + Math.abs(down * x) };
    })
    .filter(({ far, aside }) => far > 1 && (y !== 0 || aside < ROW))
    .sort((a, b) => a.far - b.far);
  const row = y === 0 ? ahead.slice(0, 1) : ahead.filter(({ far }) => far < ahead[0].far + ROW);
  return row.sort((a, b) => a.aside - b.aside)[0]?.element;
}

/** @param {Element} element */
function middle(element) {
  const { left, top, width, height } = element.getBoundingClientRect();
  return { x: left + width / 2, y: top + height / 2 };
}
