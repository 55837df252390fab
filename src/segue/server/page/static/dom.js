/** Elements and texts. Text from data reaches the page through text nodes alone, so nothing of it is ever markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with properties and children; children that are texts or numbers become text nodes, null is left out.
 * Keys that begin with "on" are listeners, "style" is an object, and all others are attributes; false leaves one out.
 */
export function h(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

/** The same in a picture. */
export function svg(name, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, name), properties, children);
}

function filled(element, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [name, each] of Object.entries(value)) element.style.setProperty(name, each);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * Put other children into an element. Where one of them had the focus, the new one of its `data-key` gets it; where none
 * has that key, one that is marked for it, or the field of the section.
 */
export function fill(element, ...children) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  element.replaceChildren(...children.flat().filter(Boolean));
  if (key === undefined) return;
  const again = [...element.querySelectorAll("[data-key]")].find(each => each.dataset.key === key);
  const other = element.querySelector("[data-key-else]") ?? element.closest("section")?.querySelector("input[type=text]");
  (again ?? other)?.focus({ preventScroll: true });
}

let speaking;

/** Say something to people who hear the page. */
export function say(text) {
  const place = document.getElementById("said");
  clearTimeout(speaking);
  place.textContent = "";
  speaking = setTimeout(() => { place.textContent = text; }, 60);
}

/** A number with its sign, of a length that fits a table. */
export function signed(value) {
  const text = Math.abs(value) < 0.005 ? "0.00" : Math.abs(value).toFixed(2);
  return `${text === "0.00" ? "" : value < 0 ? "−" : "+"}${text}`;
}

export const percent = value => `${(100 * value).toFixed(Math.abs(value) < 0.1 ? 1 : 0)}\u00a0%`;
export const count = value => value.toLocaleString("en");
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** A day in words, from epoch milliseconds. */
export const day = time => new Date(time).toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric", timeZone: "UTC" });

/** What is shown while something loads, fails, or is not there. */
export const loading = (lines = 3) =>
  h("div", { class: "loading", role: "img", "aria-label": "Loading" }, Array.from({ length: lines }, () => h("span")));
export const empty = (...words) => h("p", { class: "soft empty" }, ...words);
export function trouble(error, again) {
  return h("div", { class: "trouble", role: "alert" },
    h("p", {}, error.message),
    again && h("button", { class: "plain", onclick: again }, "Try again"));
}
