/** Three lists for one session, marked by what they share, and how each has changed since the last click. */

import * as api from "./api.js";
import { empty, fill, h, loading, say, trouble } from "./dom.js";
import { add } from "./session.js";
import { change } from "./state.js";
import { reveal } from "./why.js";

const asking = api.latest();
const MARKS = {
  shared: "in all lists",
  some: "in two lists",
  personal: "in this list alone",
};
let place, columns, asked, standing, last = {};

/** Make the frame. */
export function build(section) {
  place = section;
  columns = h("div", { class: "columns" });
  const legend = h("p", { class: "legend" }, Object.entries(MARKS).map(([name, words]) =>
    h("span", {}, h("i", { class: `mark ${name}`, "aria-hidden": "true" }), ` ${words}`)));
  section.append(
    h("div", { class: "line" }, h("h2", { id: "lists-title" }, "What comes next"), legend),
    h("p", { class: "soft" }, "Click an item as if the person did: it joins the session, and all lists follow."),
    columns);
}

/** Who has a list: the chosen people, then nobody. */
export function readers(state) {
  const people = ["a", "b"].filter(who => state[who] !== null).map(who => ({ who, user: state[who] }));
  return [...people, { who: "n", user: null }];
}

const keyOf = state => JSON.stringify([readers(state), state.items, state.seen]);

/** The lists that are shown, [{who, user, answer}]; undefined where they are not those of an address. */
export const shownFor = state => (standing?.key === keyOf(state) ? standing.lists : undefined);

/** Show the lists of an address. Returns whether that is done: false where another call does it, or still waits. */
export async function show(state) {
  const who = readers(state), key = keyOf(state);
  if (key === asked) return standing?.key === key;
  asked = key;
  if (!columns.children.length) fill(columns, who.map(() => h("div", { class: "card" }, loading(8))));
  place.setAttribute("aria-busy", "true");
  const session = { items: state.items, k: 10, ...(state.seen ? {} : { exclude_seen: "session" }) };
  const answer = await asking(signal => api.lists(who.map(each => each.user), session, signal));
  if (!answer) return false;
  place.removeAttribute("aria-busy");
  if (answer.error) {
    asked = standing = undefined;
    fill(columns, h("div", { class: "card" }, trouble(answer.error, () => dispatchEvent(new Event("changed")))));
    return true;
  }
  standing = { key, lists: who.map((each, number) => ({ ...each, answer: answer.found[number] })) };
  draw(who, answer.found);
  return true;
}

/** Mark the item whose reasons are shown. */
export function point(pick) {
  for (const button of columns.querySelectorAll("[data-why]")) {
    const mine = pick !== null && button.dataset.why === `${pick.who}:${pick.item}`;
    button.setAttribute("aria-pressed", String(mine));
    button.closest("li").classList.toggle("picked", mine);
  }
}

function draw(who, answers) {
  const held = answers.map(answer => new Set(answer.items.map(each => each.item)));
  const mark = item => {
    const lists = held.filter(each => each.has(item)).length;
    return lists === held.length && held.length > 1 ? "shared" : lists > 1 ? "some" : "personal";
  };
  const before = last;
  last = {};
  const news = [];
  fill(columns, who.map((reader, number) => {
    const answer = answers[number], key = `${reader.who}:${reader.user}`;
    const ranks = new Map(answer.items.map((each, rank) => [each.item, rank]));
    last[key] = ranks;
    const moves = before[key] ? item => moved(before[key], item, ranks.get(item)) : () => null;
    const fresh = before[key] ? answer.items.filter(each => !before[key].has(each.item)).length : 0;
    news.push(`${api.forWhom(reader)}: ${answer.items.length ? `first ${answer.items[0].name}` : "no items"}`
      + (fresh ? `, ${fresh} new` : ""));
    return column(reader, answer, mark, moves);
  }));
  if (Object.keys(before).length) say(`Lists changed. ${news.join(". ")}.`);
}

function column(reader, answer, mark, moves) {
  const title = `list-${reader.who}`;
  const rows = answer.items.map((each, rank) => row(reader, each, rank, mark(each.item), moves(each.item)));
  return h("section", { class: `card list ${reader.who}`, "aria-labelledby": title },
    h("h3", { id: title }, "For ", h("span", { class: "name" }, api.forWhom(reader))),
    ...answer.warnings.map(text => h("p", { class: "soft note" }, text)),
    rows.length ? h("ol", {}, rows) : empty("Nothing is left to recommend."));
}

function row(reader, { item, name }, rank, mark, move) {
  const key = `${reader.who}:${item}`;
  return h("li", {},
    h("span", { class: "rank", "aria-hidden": "true" }, rank + 1),
    h("i", { class: `mark ${mark}`, "aria-hidden": "true" }),
    h("button", { class: "item", "data-key": `add-${reader.who}-${rank}`, title: name, onclick: () => add(item) },
      h("span", {}, name), h("span", { class: "hidden" }, `, ${MARKS[mark]}. Add to the session`)),
    move && h("span", { class: `move ${move.kind}` }, h("span", { "aria-hidden": "true" }, move.sign),
      h("span", { class: "hidden" }, move.words)),
    h("button", { class: "why", "data-why": key, "data-key": `why-${reader.who}-${rank}`, "aria-pressed": "false",
      "aria-label": `Why ${name} for ${api.forWhom(reader)}?`,
      onclick: event => {
        reveal({ withFocus: event.detail === 0 });  // a click by keyboard
        change({ pick: { who: reader.who, item }, node: null });
      } }, "Why?"));
}

/** How an item has moved, in a sign and in words. */
function moved(before, item, rank) {
  const was = before.get(item);
  if (was === undefined) return { kind: "new", sign: "new", words: "new in the list" };
  if (was === rank) return null;
  const places = Math.abs(was - rank), up = was > rank;
  return { kind: up ? "up" : "down", sign: `${up ? "▲" : "▼"}${places}`, words: `${up ? "up" : "down"} ${places}` };
}
