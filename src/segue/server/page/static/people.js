/** The two people: who they are, what they come back to, what they did last. */

import * as api from "./api.js";
import { count, day, empty, fill, h, loading, plural, trouble } from "./dom.js";
import { picker } from "./picker.js";
import { change } from "./state.js";

export const PEOPLE = { a: "First person", b: "Second person" };
const asking = { a: api.latest(), b: api.latest() };
const cards = {};
const SHOWN = 3;

/** Make both cards. */
export function build(place) {
  for (const who of ["a", "b"]) {
    const about = h("div", { class: "about" });
    const field = picker({
      label: PEOPLE[who], placeholder: "Search by name or id", what: "person",
      find: (text, signal) => api.findUsers(text, 12, signal), chosen: id => change({ [who]: id }),
    });
    cards[who] = { about, shown: undefined };
    place.append(h("section", { class: `card person ${who}`, "aria-label": PEOPLE[who] }, field, about));
  }
}

/** Show whom the address names. */
export function show(state) {
  for (const who of ["a", "b"]) if (cards[who].shown !== state[who]) {
    cards[who].shown = state[who];
    load(who, state[who]);
  }
}

async function load(who, id) {
  const { about } = cards[who];
  if (id === null) return void fill(about, empty("Nobody is chosen. Search above."));
  fill(about, loading(2));
  const answer = await asking[who](signal => api.user(id, signal));
  if (!answer) return;
  if (answer.error) return void fill(about, trouble(answer.error, () => load(who, id)));
  fill(about, ...described(who, answer.found));
}

function described(who, found) {
  const standing = found.trained ? null : found.known
    ? "New since the training: answered from what they did." : "The model does not know this person.";
  return [
    h("div", { class: "who" },
      h("h2", { class: "name" }, found.name), found.name !== found.user && h("code", {}, found.user),
      h("button", { class: "plain quiet", "data-key": `remove-${who}`, onclick: () => change({ [who]: null }),
        "aria-label": `Remove ${found.name}` }, "Remove")),
    standing && h("p", { class: "soft" }, standing),
    found.favourites.length > 0 && h("h3", {}, "Comes back to"),
    found.favourites.length > 0 && h("ul", { class: "favourites" }, found.favourites.map(each =>
      h("li", {}, each.name, " ", h("span", { class: "soft" }, `${count(each.events)}×`)))),
    ...visits(who, found),
  ];
}

function visits(who, found) {
  const all = [...(found.live_session ? [found.live_session] : []), ...found.sessions].slice(0, SHOWN);
  if (!all.length) return [];
  const rows = all.map((visit, place) => {
    const when = visit === found.live_session ? "now" : day(visit.end);
    const what = visit.items.map(each => each.name).join(" → ");
    return h("li", {},
      h("span", { class: "soft when" }, when), h("span", { class: "what", title: what }, what),
      h("button", { class: "plain quiet", "data-key": `use-${who}-${place}`,
        "aria-label": `Use this session of ${plural(visit.items.length, "item")} from ${when}`,
        onclick: () => change({ items: visit.items.map(each => each.id) }) }, "Use"));
  });
  return [h("h3", {}, "Last sessions"), h("ol", { class: "visits" }, rows)];
}
