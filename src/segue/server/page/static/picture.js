/** A node with its neighbours by relation as SVG: on both sides where there is room, else below it. */

import { plural, svg } from "./dom.js";

const ROW = 38, HEIGHT = 30, HEAD = 26, GAP = 18, APART = 150, NARROW = 620;

/**
 * @param around {name, kind, groups: [{relation, side, head, nodes: [{kind, id, name, weight}]}]}
 * @param width of the picture. go: called with the node that is chosen.
 */
export function draw(around, width, go) {
  const wide = width >= NARROW;
  const centre = wide ? { w: Math.min(220, width * 0.26), h: 84 } : { w: width, h: 56, x: 0, y: 0 };
  const column = wide ? Math.min(300, (width - centre.w) / 2 - 60) : width - 34;
  const sides = wide ? { left: 0, right: width - column } : { left: 34, right: 34 };
  const heights = { left: 0, right: 0 }, ends = { left: 0, right: 0 };
  if (!wide) heights.left = heights.right = centre.h + GAP;
  const placed = around.groups.map((group, number) => {
    const side = wide ? group.side : "left", top = heights[side];
    heights[side] += HEAD + group.nodes.length * ROW + GAP;
    const first = ends[side];
    ends[side] += group.nodes.length;
    return { ...group, side, top, first, x: sides[side], trunk: 26 - 7 * number };
  });
  const height = Math.max(heights.left, heights.right, centre.h + 2 * GAP) - GAP + 4;
  if (wide) {
    const others = ["left", "right"].filter(side => heights[side]);
    centre.x = (width - centre.w) / 2;
    if (others.length === 1) {  // one column beside the centre, both together in the middle
      const start = (width - column - APART - centre.w) / 2, onLeft = others[0] === "left";
      centre.x = onLeft ? start + column + APART : start;
      for (const group of placed) group.x = onLeft ? start : start + centre.w + APART;
    }
    centre.y = (height - centre.h) / 2;
    for (const side of others) {  // the shorter column stands in the middle
      const lower = Math.max(0, (height - heights[side] + GAP) / 2);
      for (const group of placed) if (group.side === side) group.top += lower;
    }
  }
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": `Neighbours of ${around.name}`, onkeydown: event => moveFocus(event, picture) });
  picture.append(markers(placed));
  const nodes = placed.map(group => groupOf({ ...group, ends: ends[group.side] }, centre, column, wide, go));
  picture.append(...nodes.map(each => each.edges), middle(around, centre), ...nodes.map(each => each.boxes));
  requestAnimationFrame(() => picture.querySelectorAll("text[data-room]").forEach(fit));
  return picture;
}

const ARROWS = { adjacent_in: "in", adjacent_out: "out" };

/** The arrow heads of directed relations. */
function markers(groups) {
  return svg("defs", {}, groups.filter(group => ARROWS[group.relation]).map(group =>
    svg("marker", { id: `arrow-${group.relation}`, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 9, markerHeight: 9,
      markerUnits: "userSpaceOnUse", orient: "auto-start-reverse", class: `head ${group.relation}` },
      svg("path", { d: "M0 0 10 5 0 10z" }))));
}

function middle(around, { x, y, w, h }) {
  const lines = wrapped(around.name, Math.floor((w - 24) / 8.2), h > 60 ? 3 : 2);
  const first = y + h / 2 - ((lines.length - 1) * 19) / 2 + 5;
  return svg("g", { class: `centre ${around.kind}`, tabindex: "-1", role: "img", "aria-label": around.name },
    svg("title", {}, around.name),
    svg("rect", { x: x + 1, y: y + 1, width: w - 2, height: h - 2, rx: 14 }),
    lines.map((text, number) => svg("text", { x: x + w / 2, y: first + 19 * number, "text-anchor": "middle",
      "data-room": w - 20 }, text)));
}

function groupOf(group, centre, column, wide, go) {
  const { relation, x, top, nodes } = group, most = Math.max(...nodes.map(each => each.weight), 1);
  const boxes = svg("g", { class: `group ${relation}` },
    svg("text", { x: x + 2, y: top + 16, class: "headline" }, group.head));
  const edges = svg("g", { class: `edges ${relation}`, "aria-hidden": "true" });
  nodes.forEach((node, number) => {
    const y = top + HEAD + number * ROW, middle = y + HEIGHT / 2;
    edges.append(svg("path", { d: path(group, centre, column, middle, wide, (group.first + number + 0.5) / group.ends),
      "stroke-width": (1.2 + ((wide ? 3 : 1) * node.weight) / most).toFixed(2),
      "marker-end": ARROWS[relation] === "out" ? `url(#arrow-${relation})` : null,
      "marker-start": ARROWS[relation] === "in" ? `url(#arrow-${relation})` : null }));
    boxes.append(box(node, { x, y, w: column, relation, head: group.head }, go));
  });
  return { edges, boxes };
}

/** The way of an edge from the centre to a neighbour. */
function path(group, centre, column, middle, wide, part) {
  const { trunk } = group;
  if (!wide) return `M${trunk} ${centre.h + 2} V${middle - 6} Q${trunk} ${middle} ${trunk + 6} ${middle} H33`;
  const left = group.side === "left", spread = centre.y + 14 + (centre.h - 28) * part;
  const from = left ? centre.x - 2 : centre.x + centre.w + 2, to = left ? group.x + column + 3 : group.x - 3, half = (from + to) / 2;
  return `M${from} ${spread} C${half} ${spread} ${half} ${middle} ${to} ${middle}`;
}

function box(node, { x, y, w, relation, head }, go) {
  const often = plural(node.weight, "time");
  const chosen = event => { event.preventDefault(); go(node); };
  return svg("g", { class: `node ${node.kind} ${relation}`, role: "button", tabindex: "0", onclick: chosen,
    "aria-label": `${node.name}, ${head.toLowerCase()}, ${often}. Go there`, "data-x": x, "data-y": y,
    onkeydown: event => { if (event.key === "Enter" || event.key === " ") chosen(event); } },
    svg("title", {}, `${node.name}: ${often}`),
    svg("rect", { x: x + 1, y: y + 1, width: w - 2, height: HEIGHT - 2, rx: node.kind === "user" ? 15 : 6 }),
    svg("text", { x: x + 12, y: y + 20, "data-room": w - 76 }, node.name),
    svg("text", { x: x + w - 12, y: y + 20, "text-anchor": "end", class: "weight" }, `${node.weight}×`));
}

/** Cut a text until it fits the room that it says it has. */
function fit(text) {
  const room = Number(text.dataset.room), whole = text.textContent;
  if (text.getComputedTextLength() <= room) return;
  let low = 0, high = Math.min(whole.length, 120);
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    text.textContent = `${whole.slice(0, middle).trimEnd()}…`;
    if (text.getComputedTextLength() <= room) low = middle; else high = middle - 1;
  }
  text.textContent = `${whole.slice(0, low).trimEnd()}…`;
}

/** A text in lines of about so many letters; what does not fit ends with "…". */
function wrapped(text, letters, most) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (longer.length <= letters || !lines.at(-1)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.length <= most ? lines : [...lines.slice(0, most - 1), `${lines[most - 1]}…`];
}

const DIRECTIONS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/** Move the focus to the nearest node in the direction of an arrow key. */
function moveFocus(event, picture) {
  const direction = DIRECTIONS[event.key], from = event.target;
  if (!direction || !from.closest(".node, .centre")) return;
  const at = middleOf(from), [dx, dy] = direction;
  const ahead = [...picture.querySelectorAll(".node")].filter(node => node !== from).map(node => {
    const to = middleOf(node), along = (to.x - at.x) * dx + (to.y - at.y) * dy;
    const aside = Math.abs((to.x - at.x) * dy) + Math.abs((to.y - at.y) * dx);
    return { node, along, cost: along + 3 * aside };
  }).filter(each => each.along > 1);
  if (!ahead.length) return;
  event.preventDefault();
  ahead.reduce((best, each) => (each.cost < best.cost ? each : best)).node.focus();
}

function middleOf(node) {
  const { x, y, width, height } = node.querySelector("rect").getBoundingClientRect();
  return { x: x + width / 2, y: y + height / 2 };
}
