/** The running session: items in their order, each of which can be taken out again. */

import * as api from "./api.js";
import { empty, fill, h, plural, say } from "./dom.js";
import { picker } from "./picker.js";
import { change, read } from "./state.js";

let chips, seen;

/** Make the field and the row of items. */
export function build(place) {
  chips = h("div", { class: "chips" });
  seen = h("input", { type: "checkbox", id: "seen", onchange: event => change({ seen: event.target.checked }) });
  place.append(
    h("div", { class: "line" },
      h("h2", { id: "session-title" }, "The session"),
      picker({
        label: "Add an item", placeholder: "Add an item: search by name or id", what: "item", shownLabel: false,
        find: (text, signal) => api.findItems(text, 12, signal), chosen: add,
      })),
    chips,
    h("p", { class: "option" }, seen, " ", h("label", { for: "seen" }, "Items of the session may be recommended again")));
}

/** Add an item at the end. */
export function add(id) {
  change({ items: [...read().items, id], pick: null });
  say(`Added ${api.nameOf("item", id)} to the session.`);
}

/** Show the session of the address; names that no answer has said yet are asked for. */
export async function show(state, lists) {
  const skipped = lists?.at(-1).answer.skipped ?? [];
  seen.checked = state.seen;
  draw(state, skipped);
  await api.learnNames(state.items);
  if (read().items.join("\n") === state.items.join("\n")) draw(state, skipped);
}

function draw({ items }, skipped) {
  if (!items.length) return void fill(chips, empty(
    "The session is empty. People are answered from their last items, nobody gets what is popular."));
  const unknown = new Set(skipped);
  fill(chips,
    h("ol", { "aria-label": `Items of the session: ${plural(items.length, "item")}` }, items.map((id, place) => {
      const name = api.nameOf("item", id);
      return h("li", { class: unknown.has(id) ? "chip unknown" : "chip" },
        h("span", { title: name }, name), unknown.has(id) && h("small", {}, "unknown to the model"),
        h("button", {
          "aria-label": `Take out ${name}`, "data-key": `out-${place}`, "data-key-else": true,
          onclick: () => { change({ items: items.filter((_, each) => each !== place), pick: null }); say(`Took out ${name}.`); },
        }, "×"));
    })),
    h("button", { class: "plain quiet", "data-key": "clear", onclick: () => change({ items: [], pick: null }) }, "Clear"));
}
