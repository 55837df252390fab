"""The description of the API as one page for people, which needs no network."""

from __future__ import annotations

import json
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; } code, h2 { font-family: ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
td, th { border-bottom: 1px solid #8884; padding: .3rem .6rem; text-align: left; vertical-align: top; }
.method { background: #8882; border-radius: .3rem; padding: .1rem .4rem; }
"""


def of(description: bytes) -> bytes:
    """The page of an OpenAPI description."""
    api = json.loads(description)
    schemas = api["components"]["schemas"]
    parts = [
        _operation(method.upper(), path, operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    parts += [_schema(name, schema) for name, schema in schemas.items()]
    title = escape(f"{api['info']['title']} {api['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>'
        f"<main><h1>{title}</h1><p>{escape(api['info']['description'])} The same for programs:"
        f' <a href="/openapi.json">/openapi.json</a>.</p>{"".join(parts)}</main></html>'
    ).encode()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f'<h2 id="{escape(operation["operationId"])}"><span class="method">{method}</span> {escape(path)}</h2>']
    parts.append(f"<p>{escape(operation['summary'])}.{' Needs a token.' if 'security' in operation else ''}</p>")
    rows = [
        (f"{each['in']} <code>{escape(each['name'])}</code>", _type(each["schema"]), each.get("description", ""))
        for each in operation["parameters"]
    ]
    if "requestBody" in operation:
        rows.append(("body", _type(operation["requestBody"]["content"]["application/json"]["schema"]), ""))
    for status, answer in operation["responses"].items():
        kind, content = next(iter(answer["content"].items()))
        rows.append((status, f"{_type(content['schema'])} <small>{escape(kind)}</small>", answer["description"]))
    return "".join(parts) + _table(rows)


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (f"<code>{escape(key)}</code>{'' if key in required else ' ?'}", _type(each), each.get("description", ""))
        for key, each in schema.get("properties", {}).items()
    ]
    rows = rows or [("", _type(schema), "")]
    words = escape(schema.get("description", ""))
    return f'<h2 id="schema-{escape(name)}">{escape(name)}</h2><p>{words}</p>{_table(rows)}'


def _table(rows: list[tuple[str, str, str]]) -> str:
    """Rows of a table; the first two cells are HTML, the last one is text."""
    cells = "".join(f"<tr><td>{first}</td><td>{kind}</td><td>{escape(words)}</td></tr>" for first, kind, words in rows)
    return f'<div class="wide"><table>{cells}</table></div>'


def _type(schema: dict[str, Any]) -> str:
    """The type of a schema in short, as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return " or ".join(escape(json.dumps(value)) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    bounds = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": "&gt;", "maxLength": "up to", "maxItems": "up to"}
    limits = [f"{sign} {schema[key]:,}" for key, sign in bounds.items() if key in schema]
    return " ".join([escape(str(schema.get("type", "any"))), *limits])
