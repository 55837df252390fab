/** A field that searches as one types, and lists what it found (the ARIA pattern "combobox with list"). */

import { latest } from "./api.js";
import { h } from "./dom.js";

let made = 0;

/**
 * @param label what the field is for. find: (text, signal) → [{id, name}]. chosen: called with the id.
 * @param what "item" or "person", for messages.
 */
export function picker({ label, placeholder, what, find, chosen, shownLabel = true }) {
  const name = `picker-${++made}`;
  const once = latest();
  let found = [], active = -1, turn = 0, waiting, message = "";

  const input = h("input", {
    id: name, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", maxlength: "256",
    "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": `${name}-list`, placeholder,
    "data-key": `${label}-field`,
    oninput: () => { clearTimeout(waiting); waiting = setTimeout(search, 120); },
    onfocus: search, onclick: () => { if (list.hidden) search(); }, onblur: close, onkeydown: pressed,
  });
  const list = h("ul", { id: `${name}-list`, role: "listbox", "aria-label": label, tabindex: "-1", hidden: true });
  const note = h("p", { class: "soft note", hidden: true, role: "status" });
  const box = h("div", { class: "picker" },
    h("label", { for: name, class: shownLabel ? "" : "hidden" }, label), input, h("div", { class: "found" }, list, note));

  async function search() {
    const asked = input.value.trim(), mine = ++turn;
    const answer = await once(signal => find(asked, signal));
    if (!answer || mine !== turn || document.activeElement !== input) return;
    found = answer.error ? [] : answer.found;
    message = answer.error ? answer.error.message
      : found.length ? "" : asked ? `No ${what} has “${asked}” in its name or id.` : `There is no ${what} yet.`;
    active = -1;
    show();
  }

  function show() {
    list.replaceChildren(...found.map((each, place) => h("li", {
      role: "option", id: `${name}-${place}`, "aria-selected": String(place === active),
      onmousedown: event => { event.preventDefault(); choose(place); },
    }, h("span", {}, each.name), each.name !== each.id && h("small", {}, each.id))));
    list.hidden = !found.length;
    note.hidden = !message;
    note.textContent = message;
    input.setAttribute("aria-expanded", String(!list.hidden));
    if (active < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `${name}-${active}`);
    list.children[active]?.scrollIntoView({ block: "nearest" });
  }

  function close() {
    clearTimeout(waiting);
    turn += 1;
    found = [];
    message = "";
    active = -1;
    show();
  }

  function choose(place) {
    const { id } = found[place];
    input.value = "";
    close();
    chosen(id);
  }

  async function pressed(event) {
    const last = found.length - 1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) return void search();
      active = event.key === "ArrowDown" ? (active >= last ? 0 : active + 1) : (active <= 0 ? last : active - 1);
      show();
    } else if (event.key === "Enter") {
      event.preventDefault();
      clearTimeout(waiting);
      if (active < 0) await search();
      if (found.length) choose(Math.max(active, 0));
    } else if (event.key === "Escape") {
      if (list.hidden && note.hidden) input.value = "";
      close();
    }
  }

  return box;
}

