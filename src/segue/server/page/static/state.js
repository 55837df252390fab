/** What is shown, kept in the address: a view can be sent to others, and Back undoes a click. */

/**
 * a, b: ids of the two people, null for none chosen. items: the session. seen: whether items of the session may be
 * recommended. pick: {who: "a" | "b" | "n", item} whose reasons are shown. node: {kind, id} in the graph. tab.
 */
export function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  return {
    a: given.get("a"),
    b: given.get("b"),
    items: given.getAll("i"),
    seen: given.has("seen"),
    pick: pair(given.get("why"), "who", "item"),
    node: pair(given.get("at"), "kind", "id"),
    tab: given.get("tab") === "model" ? "model" : "try",
    begun: given.has("a") || given.has("b") || given.has("i") || given.has("go"),
  };
}

/** Change some of it. `replace`: without a step for Back. */
export function change(changes, { replace = false } = {}) {
  const next = { ...read(), ...changes };
  const given = new URLSearchParams();
  for (const key of ["a", "b"]) if (next[key] !== null) given.append(key, next[key]);
  for (const each of next.items) given.append("i", each);
  if (next.seen) given.append("seen", "1");
  if (next.pick) given.append("why", `${next.pick.who}:${next.pick.item}`);
  if (next.node) given.append("at", `${next.node.kind}:${next.node.id}`);
  if (next.tab === "model") given.append("tab", "model");
  if (!given.has("a") && !given.has("b") && !given.has("i")) given.append("go", "1");
  const address = `#${given}`;
  if (address !== location.hash) history[replace ? "replaceState" : "pushState"](null, "", address);
  dispatchEvent(new Event("changed"));
}

function pair(text, first, second) {
  const at = text === null ? -1 : text.indexOf(":");
  return at < 0 ? null : { [first]: text.slice(0, at), [second]: text.slice(at + 1) };
}
