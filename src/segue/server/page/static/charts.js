/** Bars about a zero line, a bar in two parts, and lines over epochs; no library. */

import { h, signed, svg } from "./dom.js";

/** Bars of parts that sum to a total: [{name, value, kind}], {name, value}. */
export function bars(rows, total) {
  const low = Math.min(0, ...rows.map(row => row.value)), high = Math.max(0, ...rows.map(row => row.value));
  const span = high - low || 1, zero = (100 * -low) / span;
  const bar = ({ value, kind }) => h("span", { class: "track" },
    h("span", { class: "zero", style: { left: `${zero}%` } }),
    h("span", { class: `bar ${kind} ${value < 0 ? "less" : ""}`, style: {
      left: `${value < 0 ? zero - (100 * -value) / span : zero}%`, width: `${(100 * Math.abs(value)) / span}%` } }));
  return h("table", { class: "bars" }, columns(),
    h("tbody", {}, rows.map(row => h("tr", {},
      h("th", { scope: "row", title: row.name }, h("span", {}, row.name)),
      h("td", { "aria-hidden": "true" }, bar(row)),
      h("td", { class: "number", "data-part": row.value }, signed(row.value))))),
    h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, total.name), h("td", { "aria-hidden": "true" }),
      h("td", { class: "number", "data-total": total.value }, signed(total.value)))));
}

/** The columns of a table of bars: name, bar, number. */
export const columns = () => h("colgroup", {}, ["names", "tracks", "numbers"].map(name => h("col", { class: name })));

/** One bar in two parts; the share of the first. */
export function split(share, first, second) {
  const part = (name, value) => h("span", { class: `bar ${name}`, style: { width: `${100 * value}%` } },
    value > 0.2 && h("b", {}, `${name} ${Math.round(100 * value)} %`));
  return h("div", { class: "split", role: "img", "aria-label": `${first} ${Math.round(100 * share)} %, ${second} ${Math.round(100 * (1 - share))} %` },
    part(first, share), part(second, 1 - share));
}

const HEIGHT = 200, LEFT = 46, BOTTOM = 24, TOP = 10, RIGHT = 12;

/** A line over epochs: points [{epoch, value, best}]; the chosen epoch is ringed. */
export function line(points, title, shown = value => value.toFixed(2)) {
  const width = innerWidth < 640 ? 320 : 460;  // letters keep their size
  const values = points.map(each => each.value), low = Math.min(...values), high = Math.max(...values);
  const pad = (high - low || Math.abs(high) || 1) * 0.1, floor = low - pad, roof = high + pad;
  const last = Math.max(2, ...points.map(each => each.epoch));
  const x = epoch => LEFT + ((epoch - 1) / (last - 1)) * (width - LEFT - RIGHT);
  const y = value => TOP + (1 - (value - floor) / (roof - floor)) * (HEIGHT - TOP - BOTTOM);
  const rows = Array.from({ length: 4 }, (_, number) => floor + ((roof - floor) * number) / 3);
  const step = Math.ceil(last / 8);
  const ticks = Array.from({ length: last }, (_, number) => number + 1).filter(each => (each - 1) % step === 0);
  const words = `${title}: ${points.map(each => `epoch ${each.epoch} ${shown(each.value)}${each.best ? ", the one kept" : ""}`).join("; ")}`;
  return h("figure", {}, h("figcaption", {}, title),
    svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, class: "line-chart", role: "img", "aria-label": words },
      rows.map(value => [
        svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: "grid" }),
        svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, shown(value))]).flat(),
      ticks.map(each => svg("text", { x: x(each), y: HEIGHT - 6, "text-anchor": "middle" }, each)),
      svg("polyline", { points: points.map(each => `${x(each.epoch)},${y(each.value)}`).join(" "), class: "drawn" }),
      points.map(each => svg("circle", { cx: x(each.epoch), cy: y(each.value), r: each.best ? 6 : 3, class: each.best ? "best" : "dot" },
        svg("title", {}, `epoch ${each.epoch}: ${shown(each.value)}`)))));
}
