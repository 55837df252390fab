"""The table of routes: the API and its description are made from it."""

from __future__ import annotations

from segue.server import answers, api_page, metrics
from segue.server.bodies import Events, Explain, Recommend, RecommendBatch, Search
from segue.server.openapi import describe
from segue.server.page import files
from segue.server.route import Context, Plain, Route


async def _recommend(context: Context, body: Recommend, _: str) -> answers.Recommendation:
    return await context.answering.answer(body)


async def _recommend_batch(context: Context, body: RecommendBatch, _: str) -> answers.RecommendationBatch:
    return answers.RecommendationBatch(answers=await context.answering.answer_all(body.requests))


async def _explain(context: Context, body: Explain, _: str) -> answers.Explanation:
    return await context.answering.explain(body)


async def _events(context: Context, body: Events, _: str) -> answers.Accepted:
    events = context.service.events(body.all)
    new = await context.writer.append(events)
    metrics.events(new)
    unknown = context.service.unknown_items(events)
    return answers.Accepted(accepted=new, duplicates=len(events) - new, unknown_items=unknown or None)


async def _forget(context: Context, _: None, user: str) -> answers.Forgotten:
    return await context.look_up(context.service.forget, user)


async def _user(context: Context, _: None, user: str) -> answers.User:
    return await context.look_up(context.service.user, user)


async def _users(context: Context, query: Search, _: str) -> answers.Found:
    return await context.look_up(context.service.find_users, query.q, query.limit)


async def _item(context: Context, _: None, item: str) -> answers.Item:
    return await context.look_up(context.service.item, item)


async def _items(context: Context, query: Search, _: str) -> answers.Found:
    return await context.look_up(context.service.find_items, query.q, query.limit)


async def _model(context: Context, _: None, __: str) -> answers.Model:
    return await context.look_up(context.service.model)


async def _card(context: Context, _: None, __: str) -> answers.ModelCard:
    return await context.look_up(context.service.card)


async def _reload(context: Context, _: None, __: str) -> answers.Reloaded:
    previous = context.service.engine.version
    return answers.Reloaded(model_version=await context.control.reload(), previous_version=previous)


async def _alive(context: Context, _: None, __: str) -> answers.Health:
    return answers.Health(status="ok")


async def _ready(context: Context, _: None, __: str) -> answers.Health:
    await context.look_up(context.service.store.ping)
    return answers.Health(status="ok", model_version=context.service.engine.version)


async def _metrics(context: Context, _: None, __: str) -> Plain:
    return Plain(metrics.MEDIA_TYPE, await context.look_up(metrics.text))


async def _description(context: Context, _: None, __: str) -> Plain:
    return Plain("application/json", await context.look_up(_described, context))


async def _page(context: Context, _: None, __: str) -> Plain:
    return Plain("text/html; charset=utf-8", api_page.of(await context.look_up(_described, context)))


async def _start(context: Context, _: None, __: str) -> Plain:
    return files.start()


async def _page_file(context: Context, _: None, path: str) -> Plain:
    return files.file(path)


def _described(context: Context) -> bytes:
    return describe(
        [route for route in ROUTES if route.described], context.service.engine.attributes.names, tokens=context.tokens
    )


_BODY = (400, 408, 413, 415, 422)
"""Problems of a route with a body."""
_STORE = (503,)

ROUTES = (
    Route("POST", "/v1/recommend", "recommend", "The next items for a user and a session", _recommend,
          answers.Recommendation, Recommend, problems=(*_BODY, *_STORE)),
    Route("POST", "/v1/events", "events", "Keep what people do", _events, answers.Accepted, Events, 202,
          (*_BODY, *_STORE), guarded=True),
    Route("POST", "/v1/recommend:batch", "recommend_batch", "The answers to several requests", _recommend_batch,
          answers.RecommendationBatch, RecommendBatch, problems=(*_BODY, *_STORE)),
    Route("POST", "/v1/explanations", "explain", "Why items have their scores", _explain, answers.Explanation, Explain,
          problems=(*_BODY, *_STORE)),
    Route("GET", "/v1/items", "find_items", "Search items by name or id", _items, answers.Found, Search,
          problems=(422,)),
    Route("GET", "/v1/items/{id:any}", "item", "An item with its strongest neighbours", _item, answers.Item,
          problems=(404,)),
    Route("GET", "/v1/users", "find_users", "Search users by name or id", _users, answers.Found, Search,
          problems=(422, *_STORE)),
    Route("GET", "/v1/users/{id:any}", "user", "What is known of a user", _user, answers.User, problems=_STORE),
    Route("DELETE", "/v1/users/{id:any}", "forget", "Forget the live history of a user", _forget, answers.Forgotten,
          problems=_STORE, guarded=True),
    Route("GET", "/v1/model", "model", "The model that answers", _model, answers.Model),
    Route("GET", "/v1/model/card", "card", "What the model was made of and how good it is", _card, answers.ModelCard),
    Route("POST", "/v1/model:reload", "reload", "Answer with the model that is in the folder now", _reload,
          answers.Reloaded, problems=(403, 409), guarded=True, unhurried=True),
    Route("GET", "/healthz", "healthz", "Whether the server runs", _alive, answers.Health),
    Route("GET", "/readyz", "readyz", "Whether the server can answer and keep events", _ready, answers.Health,
          problems=_STORE),
    Route("GET", "/metrics", "metrics", "Figures for Prometheus", _metrics, "text/plain"),
    Route("GET", "/openapi.json", "openapi", "This description", _description, "application/json"),
    Route("GET", "/docs", "docs", "This description for people", _page, "text/html"),
    Route("GET", "/", "page", "The page for people", _start, "text/html", described=False),
    Route("GET", "/page/{id:any}", "page_file", "A file of the page", _page_file, "text/plain", problems=(404,),
          described=False),
)  # fmt: skip
