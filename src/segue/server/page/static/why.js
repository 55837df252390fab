/** Why an item is in a list: its score in parts, by who says it and by term of the model, and how the session was read. */

import * as api from "./api.js";
import { bars, split } from "./charts.js";
import { fill, h, loading, percent, plural, signed, trouble } from "./dom.js";

const asking = api.latest();
const FROM_VECTORS = {
  current: "current preference (α)", general: "general preference (γ)",
  user_term: "the person's vector", add_user: "the person's vector",
};
const FROM_COUNTS = {
  session: "taken again", history: "earlier sessions", recent_history: "taken lately",
  last_session: "the last session", own_sessions: "sessions like this one",
  transition: "comes right after", predecessor: "comes right before",
  order: "comes soon after", order_before: "comes soon before",
  companion: "shares sessions", basket: "others took it with these",
  recent: "many took it most recently", trend: "many took it lately",
};
const MOST_TERMS = 9;
const SEEN = 240;
let place, shown, revealing;

/** Bring the next reasons into view, and to the focus where they were asked for by keyboard. */
export function reveal({ withFocus }) {
  revealing = { withFocus };
  shown = undefined;
}

export function build(section) { place = section; }

/** Show the reasons for the picked item; lists: what the lists hold now. */
export async function show(pick, lists, items) {
  const key = JSON.stringify([pick, lists?.map(each => each.answer.recommendation_id)]);
  if (!pick || !lists || key === shown) return;
  const reader = lists.find(each => each.who === pick.who);
  if (!reader) return;
  shown = key;
  place.setAttribute("aria-busy", "true");
  if (!place.children.length) fill(place, h("div", { class: "card" }, loading(6)));
  const answer = await asking(signal => api.explain(reader.user, items, pick.item, signal));
  if (!answer) return;
  place.removeAttribute("aria-busy");
  if (answer.error) {
    const again = () => { shown = ""; show(pick, lists, items); };
    return void fill(place, h("div", { class: "card" }, h("h2", { id: "why-title" }, "Why?"), trouble(answer.error, again)));
  }
  draw(pick, reader, lists, answer.found);
  if (!revealing) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (place.getBoundingClientRect().top > innerHeight - SEEN) place.scrollIntoView({ behavior: calm ? "auto" : "smooth" });
  if (revealing.withFocus) place.focus({ preventScroll: true });
  revealing = undefined;
}

function draw(pick, reader, lists, found) {
  const name = api.nameOf("item", pick.item), [explained] = found.items;
  const title = h("h2", { id: "why-title" }, "Why ", h("em", {}, name), ` for ${api.forWhom(reader)}?`);
  if (!explained) return void fill(place, h("div", { class: "card" }, title,
    h("p", {}, `The model does not know this item. ${found.warnings.join(" ")}`)));
  const { because, score } = explained;
  const parts = [byWhom(because, score, found, reader), byTerm(because, score)].filter(Boolean);
  fill(place,
    h("div", { class: "card" }, title,
      h("p", { class: "because" }, `${because.text.charAt(0).toUpperCase()}${because.text.slice(1)}.`),
      h("p", { class: "soft" }, standings(pick, lists)),
      h("div", { class: "parts" }, parts, h("div", {}, ...reading(found)))));
}

/** The ranks of the item in all lists, in words. */
function standings({ item }, lists) {
  const words = lists.map(each => {
    const rank = each.answer.items.findIndex(entry => entry.item === item);
    return `${rank < 0 ? "not among the first ten" : `no. ${rank + 1}`} for ${api.forWhom(each)}`;
  });
  return `It is ${words.join(", ")}.`;
}

function byWhom(because, score, found, reader) {
  const rows = because.session.map((part, place) => ({
    name: found.session[place]?.name ?? part.item, value: part.contribution, kind: "session",
  }));
  if (because.user) rows.push({ name: reader.user === null ? "A person unknown" : `What ${api.forWhom(reader)} did before`,
    value: because.user, kind: "user" });
  rows.push({ name: rows.length ? "Everybody, whoever asks" : "Popularity", value: because.base, kind: "base" });
  const whole = !Object.keys(because.terms).length && rows.slice(0, -1).every(row => row.value === 0);
  return h("div", {},
    h("h3", {}, "Who adds what to the score"),
    bars(rows, { name: "Score", value: score }),
    whole && rows.length > 1 && h("p", { class: "soft" }, "This model does not divide its scores: all of it is one part."));
}

function byTerm(because, score) {
  const everybody = Object.entries(because.everybody ?? {});
  const rest = because.base - everybody.reduce((sum, [, value]) => sum + value, 0);
  const rows = [...Object.entries(because.terms), ...everybody].map(([term, value]) => ({ ...named(term), value }));
  if (!rows.length) return null;
  rows.sort((one, other) => Math.abs(other.value) - Math.abs(one.value));
  const small = rows.splice(MOST_TERMS);
  if (small.length) rows.push({ name: plural(small.length, "smaller term"), kind: "base",
    value: small.reduce((sum, each) => sum + each.value, 0) });
  rows.push({ name: "popularity", value: rest, kind: "base" });
  const kinds = { vector: "from vectors", memory: "from the memory's counts" };
  const legend = Object.entries(kinds).filter(([kind]) => rows.some(row => row.kind === kind));
  return h("div", {},
    h("h3", {}, "The same score, by term of the model"),
    legend.length > 1 && h("p", { class: "legend" }, legend.map(([kind, words]) =>
      h("span", {}, h("i", { class: `swatch ${kind}` }), ` ${words}`))),
    bars(rows, { name: "Score", value: score }));
}

/** A term in words, and whether it comes from vectors or from counts. */
function named(term) {
  if (term in FROM_VECTORS) return { name: FROM_VECTORS[term], kind: "vector" };
  const pointed = term.startsWith("pointer_"), bare = pointed ? term.slice(8) : term;
  return { name: `${pointed ? "pointer: " : ""}${FROM_COUNTS[bare] ?? bare.replaceAll("_", " ")}`, kind: "memory" };
}

/** Attention over the session and the gate between the two preferences. */
function reading({ session, gate }) {
  const title = h("h3", {}, "How the session was read");
  const weighed = session.filter(each => each.current !== undefined || each.general !== undefined);
  if (!session.length) return [title, h("p", { class: "soft" }, "There was no session to read.")];
  if (!weighed.length) return [title, h("p", { class: "soft" },
    "This model has no attention and no gate: it counts, and reads no vectors.")];
  const largest = Math.max(...weighed.flatMap(each => [each.current ?? 0, each.general ?? 0].map(Math.abs)), 1e-9);
  const bar = (value, kind) => value === undefined ? null : h("div", { class: "weigh" },
    h("span", { class: `bar ${kind}`, style: { width: `${(100 * Math.abs(value)) / largest}%` } }), h("b", {}, weight(value)));
  return [title,
    h("p", { class: "legend" },
      h("span", {}, h("i", { class: "swatch current" }), " α, current preference: what is the person after now?"),
      h("span", {}, h("i", { class: "swatch general" }), " γ, general preference: what fits this person?")),
    h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Attention" }, h("table", { class: "attention" },
      h("caption", { class: "hidden" }, "Attention over the session, oldest item first"),
      h("thead", { class: "hidden" }, h("tr", {}, h("th", { scope: "col" }, "item"), h("th", { scope: "col" }, "weights α and γ"))),
      h("tbody", {}, session.map(each => h("tr", {}, h("th", { scope: "row", title: each.name }, each.name),
        h("td", {}, bar(each.current, "current"), bar(each.general, "general"))))))),
    gate && h("h3", {}, "The gate"),
    gate && split(gate.current, "current", "general"),
    gate && h("p", { class: "soft" }, `On average ${percent(gate.current)} current and ${percent(1 - gate.current)} general`
      + ` preference; by coordinate the current share is ${percent(gate.least)} to ${percent(gate.most)}.`)];
}

/** Weights of a softmax are shares; raw ones are numbers of any size. */
const weight = value => value >= 0 && value <= 1 ? percent(value) : signed(value);
