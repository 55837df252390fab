/** The routes that the page asks. Addresses are relative to the page, wherever a proxy has put it. */

/** Names that came with any answer: "item:ID" or "user:ID" → name. */
const names = new Map();

/** Most ids that differ from one in the case of their letters. */
const SPELLINGS = 5;

/** An answer that is none, in words for people. */
export class Trouble extends Error {}

async function ask(path, { body, signal } = {}) {
  const options = body === undefined ? {} : {
    method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" },
  };
  let answer;
  try {
    answer = await fetch(new URL(path, document.baseURI), { ...options, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The server does not answer. Is it still running?");
  }
  const found = await answer.json().catch(() => ({}));
  if (answer.ok) return found;
  const trouble = new Trouble(found.detail ?? `The server answered with status ${answer.status}.`);
  trouble.status = answer.status;
  throw trouble;
}

const query = (q, limit) => new URLSearchParams({ q, limit });

export async function findItems(q, limit = 12, signal) {
  return remembered("item", (await ask(`v1/items?${query(q, limit)}`, { signal })).results);
}

export async function findUsers(q, limit = 12, signal) {
  return remembered("user", (await ask(`v1/users?${query(q, limit)}`, { signal })).results);
}

export async function item(id, signal) {
  const found = await ask(`v1/items/${encodeURIComponent(id)}`, { signal });
  remembered("item", [{ id: found.item, name: found.name }]);
  for (const { relation, neighbours } of found.relations)
    remembered(relation === "interacted_by" ? "user" : "item", neighbours);
  return found;
}

export async function user(id, signal) {
  const found = await ask(`v1/users/${encodeURIComponent(id)}`, { signal });
  remembered("user", [{ id: found.user, name: found.name }]);
  remembered("item", found.favourites);
  for (const visit of [...found.sessions, found.live_session ?? { items: [] }]) remembered("item", visit.items);
  return found;
}

/** The lists of several people for one session, by one model. */
export async function lists(users, session, signal) {
  const requests = users.map(user => ({ ...(user === null ? {} : { user }), ...session }));
  const { answers } = await ask("v1/recommend:batch", { body: { requests }, signal });
  for (const answer of answers) remembered("item", answer.items.map(each => ({ id: each.item, name: each.name })));
  return answers;
}

export async function explain(user, items, of, signal) {
  const body = { ...(user === null ? {} : { user }), items, of: [of] };
  const found = await ask("v1/explanations", { body, signal });
  remembered("item", found.session);
  return found;
}

export const model = signal => ask("v1/model", { signal });
export const card = signal => ask("v1/model/card", { signal });

function remembered(kind, found) {
  for (const each of found) names.set(`${kind}:${each.id}`, each.name);
  return found;
}

/** Name of an item or a user as far as any answer said it; the id otherwise. */
export const nameOf = (kind, id) => names.get(`${kind}:${id}`) ?? id;

/** For whom a list is, in words. */
export const forWhom = ({ user }) => (user === null ? "nobody in particular" : nameOf("user", user));

/** Learn the names of some items; those that the model does not know keep their ids. */
export async function learnNames(ids) {
  const unknown = [...new Set(ids)].filter(id => !names.has(`item:${id}`));
  const found = await Promise.all(unknown.map(id => findItems(id, SPELLINGS).catch(() => [])));
  unknown.forEach((id, place) => {
    if (!found[place].some(each => each.id === id)) names.set(`item:${id}`, id);
  });
}

/** Runs the latest of several questions: an earlier one that has not been answered is dropped. */
export function latest() {
  let controller;
  return async work => {
    controller?.abort();
    const mine = controller = new AbortController();
    try {
      const found = await work(mine.signal);
      return mine.signal.aborted ? undefined : { found };
    } catch (error) {
      if (mine.signal.aborted || error.name === "AbortError") return undefined;
      return { error };
    }
  };
}
