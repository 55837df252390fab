/** The neighbourhood of an item or a person in the graph, as a picture that one can walk through. */

import * as api from "./api.js";
import { empty, fill, h, loading, plural, say, trouble } from "./dom.js";
import { draw } from "./picture.js";
import { add } from "./session.js";
import { change, read } from "./state.js";

const asking = api.latest();
const SHOWN = 5;
const SIDES = { adjacent_in: "left", similar: "left", adjacent_out: "right", interacted_by: "right", interact: "right" };
const HEADS = {
  adjacent_in: "Comes right before", adjacent_out: "Comes right after", similar: "Shares sessions",
  interacted_by: "People who come back", interact: "Comes back to",
};
let place, picture, shown, trail = [], around, focus = false;

/** Make the frame; the picture is drawn again whenever its width changes. */
export function build(section) {
  place = section;
  let width = 0;
  new ResizeObserver(([{ contentRect }]) => {
    if (around && Math.abs(contentRect.width - width) > 1) paint();
    width = contentRect.width;
  }).observe(section);
}

/** Show the node of the address, or the item whose reasons are shown. */
export async function show(node, pick) {
  const start = pick ? { kind: "item", id: pick.item } : null, at = node ?? start;
  const key = at && name(at);
  if (!at || key === shown) return;
  shown = key;
  const been = trail.findIndex(each => name(each) === key);
  trail = been >= 0 ? trail.slice(0, been + 1) : [...(node ? (trail.length ? trail : start ? [start] : []) : []), at];
  place.setAttribute("aria-busy", "true");
  if (!place.children.length) fill(place, loading(8));
  const answer = await asking(signal => (at.kind === "item" ? itemNode : userNode)(at.id, signal));
  if (!answer) return;
  place.removeAttribute("aria-busy");
  around = undefined;
  if (answer.error) {
    const again = () => { shown = ""; show(node, pick); };
    return void fill(place, title(at), crumbs(), trouble(answer.error, again));
  }
  around = answer.found;
  frame();
  if (focus) picture.querySelector(".centre")?.focus({ preventScroll: true });
  if (focus) say(`Now at ${around.name}: ${around.groups.map(each => `${each.head.toLowerCase()}, ${each.nodes.length}`).join("; ") || "no neighbours"}.`);
  focus = false;
}

const name = node => `${node.kind}:${node.id}`;
const labelOf = node => api.nameOf(node.kind, node.id);

async function itemNode(id, signal) {
  const found = await api.item(id, signal);
  const facts = Object.entries(found.attributes).map(([key, value]) => `${key}: ${value}`);
  return {
    kind: "item", id, name: found.name, facts: [plural(found.events, "event"), ...facts],
    groups: found.relations.map(({ relation, neighbours }) =>
      group(relation, neighbours, relation === "interacted_by" ? "user" : "item")),
  };
}

async function userNode(id, signal) {
  const found = await api.user(id, signal);
  const items = found.favourites.map(each => ({ ...each, weight: each.events }));
  return { kind: "user", id, name: found.name, facts: ["a person"], groups: items.length ? [group("interact", items, "item")] : [] };
}

const group = (relation, neighbours, kind) => ({
  relation, side: SIDES[relation], head: HEADS[relation],
  nodes: neighbours.slice(0, SHOWN).map(({ id, name, weight }) => ({ kind, id, name, weight })),
});

function frame() {
  picture = h("div", { class: "picture" });
  const isItem = around.kind === "item";
  fill(place, title(around), crumbs(),
    h("p", { class: "soft" }, around.facts.join(" · ")),
    picture,
    h("div", { class: "line" },
      isItem && h("button", { class: "plain", "data-key": "graph-add", onclick: () => add(around.id) }, "Add to the session"),
      !isItem && ["a", "b"].map(who => h("button", { class: "plain", "data-key": `graph-${who}`,
        onclick: () => change({ [who]: around.id }) }, `Choose as ${who === "a" ? "first" : "second"} person`)),
      h("p", { class: "soft" }, "Click a neighbour, or Enter, to walk on; arrow keys move among them.",
        " Counted in the train sessions.")));
  paint();
}

function title(at) {
  return h("h2", { id: "graph-title" }, "The graph around ", h("em", {}, labelOf(at)));
}

function paint() {
  if (!picture.clientWidth) return;  // out of sight: the observer calls again
  if (!around.groups.length) fill(picture, empty("It has no neighbours in the train sessions."));
  else fill(picture, draw(around, picture.clientWidth, go));
}

/** Where the walk has come from; each step can be gone back to. */
function crumbs() {
  if (trail.length < 2) return null;
  return h("nav", { "aria-label": "The way here" }, h("ol", { class: "crumbs" }, trail.map((node, number) => h("li", {},
    number === trail.length - 1 ? h("span", { "aria-current": "location" }, labelOf(node))
      : h("button", { class: "link", "data-key": `crumb-${number}`, onclick: () => go(node) }, labelOf(node))))));
}

function go(node) {
  focus = true;
  const { pick } = read();
  const home = pick && node.kind === "item" && node.id === pick.item;
  change({ node: home ? null : { kind: node.kind, id: node.id } });
}
