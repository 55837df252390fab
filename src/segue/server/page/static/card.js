/** The model's card: what it was made of and how good it is. */

import * as api from "./api.js";
import { columns, line } from "./charts.js";
import { count, day, empty, fill, h, loading, plural, trouble } from "./dom.js";

const asking = api.latest();
const SLICES = {
  prefix_length: "Items in the session so far", target: "Kind of the next item",
  popularity: "Popularity of the next item", history: "Train sessions of the person",
  click: "Click of the session", user: "Past of the person", item_age: "First appearance of the next item",
};
const METRIC = "HR@10";
let place, shown;

export function build(section) { place = section; }

export async function show() {
  if (shown) return;
  shown = true;
  fill(place, loading(8));
  const answer = await asking(signal => Promise.all([api.card(signal), api.model(signal)]));
  if (!answer || answer.error) {
    shown = false;
    if (answer) fill(place, trouble(answer.error, show));
    return;
  }
  const [card, model] = answer.found;
  fill(place, head(card, model), measured(card), curves(card), h("div", { class: "pair" }, data(card), graph(card)),
    settings(card, model));
}

function head(card, model) {
  const facts = [
    [card.sizes.items, "items"], [card.sizes.users, "people"], [card.sizes.sessions, "train sessions"], [card.sizes.events, "train events"],
  ];
  return h("section", { class: "card" },
    h("h2", {}, card.name), h("p", { class: "soft" }, "Version ", h("code", {}, card.model_version), " · corpus ",
      h("code", {}, model.fingerprint.slice(0, 12)), card.trained_on.length ? ` · trained on ${card.trained_on.join(" and ")}` : ""),
    h("dl", { class: "facts" }, facts.map(([value, words]) => h("div", {}, h("dt", {}, words), h("dd", {}, count(value))))));
}

function measured({ evaluations }) {
  const parts = Object.entries(evaluations);
  const nothing = "Nobody has measured this model yet: segue evaluate writes its figures beside it.";
  if (!parts.length) return section("Metrics", empty(nothing));
  return section("Metrics, %", ...parts.map(([part, found]) => [
    h("p", { class: "soft" }, `${part}: ${plural(found.events, "event")} in ${plural(found.sessions, "session")} of`
      + ` ${plural(found.users, "person", "people")}, split ${found.protocol ?? "unknown"}, history ${found.history}.`
      + " Every item is ranked; ties count against the model."),
    matrix(found.metrics),
    ...averages(found), slices(found.slices)]).flat());
}

/** The same, where every session or every person counts alike. */
const averages = found => Object.entries({ metrics_by_session: "averaged over sessions", metrics_by_user: "averaged over people" })
  .filter(([key]) => found[key]).map(([key, words]) => h("details", {}, h("summary", {}, words), matrix(found[key])));

/** HR, MRR and NDCG by length of the list. */
function matrix(metrics) {
  const names = [...new Set(Object.keys(metrics).map(name => name.split("@")[0]))];
  const lengths = [...new Set(Object.keys(metrics).map(name => name.split("@")[1]))];
  return table(["", ...lengths.map(k => `@${k}`)],
    names.map(name => [name, ...lengths.map(k => hundredths(metrics[`${name}@${k}`]))]));
}

const hundredths = value => value === undefined ? "–" : (100 * value).toFixed(2);

function slices(found) {
  const kinds = Object.entries(found ?? {}).filter(([, parts]) => Object.keys(parts).length > 1);
  if (!kinds.length) return null;
  const most = Math.max(...kinds.flatMap(([, parts]) => Object.values(parts).map(each => each[METRIC])), 1e-9);
  return [h("h3", {}, `Where it works: ${METRIC}, %`), h("div", { class: "slices" }, kinds.map(([kind, parts]) =>
    h("table", { class: "bars" }, h("caption", {}, SLICES[kind] ?? kind.replaceAll("_", " ")), columns(),
      h("tbody", {}, Object.entries(parts).map(([name, each]) => h("tr", {},
        h("th", { scope: "row" }, name, " ", h("small", {}, plural(each.events, "event"))),
        h("td", { "aria-hidden": "true" }, h("span", { class: "track" }, h("span", { class: "bar base", style: { left: 0, width: `${(100 * each[METRIC]) / most}%` } }))),
        h("td", { class: "number" }, hundredths(each[METRIC])))))))) ];
}

function curves({ epochs }) {
  if (!epochs.length) return section("Learning curves", empty("This model counts; no epochs were played."));
  const kept = Math.max(...epochs.filter(each => each.best).map(each => each.epoch));
  const points = pick => epochs.filter(each => pick(each) !== undefined)
    .map(each => ({ epoch: each.epoch, value: pick(each), best: each.epoch === kept }));
  const loss = points(each => each.loss), found = points(each => each.validation[METRIC] && 100 * each.validation[METRIC]);
  return section("Learning curves",
    h("div", { class: "curves" }, line(loss, "Training loss"), found.length > 0 && line(found, `${METRIC} on validation, %`)),
    h("p", { class: "soft" }, `${plural(epochs.length, "epoch")}; the ringed one, no. ${kept}, was kept.`));
}

function data({ sizes, times }) {
  const each = (part, whole) => whole ? (part / whole).toFixed(1) : "–";
  return section("Data", table(["what", "how many"], [
    ["items", count(sizes.items)], ["people", count(sizes.users)], ["train sessions", count(sizes.sessions)],
    ["train events", count(sizes.events)], ["events per session", each(sizes.events, sizes.sessions)],
    ["events per item", each(sizes.events, sizes.items)],
    ...(times.length ? [["first event", day(times[0])], ["last event", day(times[1])]] : [])]));
}

function graph({ statistics }) {
  const relations = Object.entries(statistics.relations ?? {}), others = Object.entries(statistics)
    .filter(([, value]) => typeof value === "number").map(([name, value]) => [name.replaceAll("_", " "), figure(value)]);
  if (!relations.length && !others.length) return section("Graph", empty("This model builds no graph."));
  return section(relations.length ? "Graph" : "Counts",
    !relations.length && h("p", { class: "soft" }, "This model builds no graph; it says of itself:"),
    relations.length > 0 && table(["relation", "from", "to", "edges", "mean degree", "without"], relations.map(([name, each]) => [
      name.replaceAll("_", " "), each.source, each.destination, count(each.edges), figure(each.degree?.mean), count(each.without)])),
    others.length > 0 && table(["what", "how many"], others));
}

const figure = value => value === undefined ? "–" : Number.isInteger(value) ? count(value) : value.toFixed(2);

function settings(card, model) {
  const rows = flat(model.settings);
  return section("Settings",
    card.choices.length > 0 && h("ul", {}, card.choices.map(each => h("li", {}, Object.values(each).map(String).join(" · ")))),
    h("details", {}, h("summary", {}, `all ${rows.length} settings`), table(["setting", "value"], rows)));
}

function flat(values, prefix = "") {
  return Object.entries(values).flatMap(([key, value]) => value !== null && typeof value === "object" && !Array.isArray(value)
    ? flat(value, `${prefix}${key}.`) : [[prefix + key, value === null ? "–" : String(value) || "–"]]);
}

const section = (title, ...contents) => h("section", { class: "card" }, h("h2", {}, title), ...contents.flat());

function table([first, ...columns], rows) {
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": `Table of ${rows[0]?.[0] ?? first}` }, h("table", { class: "figures" },
    h("thead", {}, h("tr", {}, [first, ...columns].map(text => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map(([name, ...cells]) => h("tr", {}, h("th", { scope: "row" }, name),
      cells.map(text => h("td", { class: /\d|–/.test(text) ? "number" : "" }, text)))))));
}
