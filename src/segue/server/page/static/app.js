/** The page: its views follow the address, and everything that is clicked changes the address. */

import * as api from "./api.js";
import * as card from "./card.js";
import { h, plural, say } from "./dom.js";
import * as graph from "./graph.js";
import * as lists from "./lists.js";
import * as people from "./people.js";
import * as session from "./session.js";
import { change, read } from "./state.js";
import * as why from "./why.js";

const EXAMPLE_ITEMS = 2;
const at = id => document.getElementById(id);

/** Show what the address says. */
async function show() {
  const state = read();
  for (const tab of ["try", "model"]) {
    const on = state.tab === tab;
    at(`tab-${tab}`).setAttribute("aria-selected", String(on));
    at(`tab-${tab}`).tabIndex = on ? 0 : -1;
    at(`view-${tab}`).hidden = !on;
  }
  if (state.tab === "model") return card.show();
  people.show(state);
  session.show(state, lists.shownFor(state));
  if (!await lists.show(state)) return;
  const found = lists.shownFor(read());
  if (found?.at(-1).answer.skipped.length) session.show(read(), found);
  follow(read(), found);
}

/** Show the reasons and the graph of the picked item: by default the first of the first list. */
function follow(state, found = []) {
  const first = found.find(each => each.answer.items.length);
  const valid = state.pick && found.some(each => each.who === state.pick.who);
  const pick = valid ? state.pick : first ? { who: first.who, item: first.answer.items[0].item } : null;
  lists.point(pick);
  at("why").hidden = at("graph").hidden = pick === null && state.node === null;
  why.show(pick, found, state.items);
  graph.show(state.node, pick);
}

/** An example to begin with: the first two people, and a session of the most popular items. */
async function begin() {
  const [users, items] = await Promise.all([api.findUsers("", 2), api.findItems("", EXAMPLE_ITEMS)]);
  const [a, b] = users.map(each => each.id);
  change({ a: a ?? null, b: b ?? null, items: items.map(each => each.id) }, { replace: true });
}

async function who() {
  const answer = await api.latest()(signal => api.model(signal));
  if (answer.error) return;
  const { name, sizes, model_version: version } = answer.found;
  at("model-line").textContent = `${name} · ${plural(sizes.items, "item")} · ${plural(sizes.users, "person", "people")} · version ${version}`;
  if (!sizes.users) at("people").prepend(h("p", { class: "soft note" },
    "This model was trained without people: everybody gets the list of nobody, until live events name them."));
}

function tabs() {
  const all = ["try", "model"];
  all.forEach((tab, number) => {
    at(`tab-${tab}`).addEventListener("click", () => change({ tab }));
    at(`tab-${tab}`).addEventListener("keydown", event => {
      if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
      const other = all[(number + 1) % all.length];
      change({ tab: other });
      at(`tab-${other}`).focus();
    });
  });
}

people.build(at("people"));
session.build(at("session"));
lists.build(at("lists"));
why.build(at("why"));
graph.build(at("graph"));
card.build(at("view-model"));
tabs();
document.querySelector(".skip").addEventListener("click", event => {
  event.preventDefault();  // the address after # is the view
  at("lists").focus();
});
for (const event of ["changed", "popstate"]) addEventListener(event, show);
who();
if (!read().begun && read().tab === "try")
  begin().catch(error => { say(error.message); }).finally(show);
else show();
