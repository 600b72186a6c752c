"""Makes the page `/docs`, which describes the API, from the OpenAPI document. It loads nothing from other sites."""

from html import escape
from typing import Any, Final

from relay.http.problems import PROBLEM_KINDS, STATUS_MEANINGS, kind_of_status

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: light-dark(#0b57d0, #8ab4f8); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; }
code { font: .9em ui-monospace, monospace; } h2 code { font-size: .95em; }
.verb { color: var(--accent); font-weight: 700; margin-right: .4em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } nav ul { padding-left: 1.2rem; } a { color: var(--accent); }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; border-radius: 6px; }
"""

_EXAMPLE: Final = """curl -u ACCOUNT:KEY http://HOST:8080/messages \\
  -H 'Content-Type: application/json' \\
  -d '{"to": "+447700900123", "from": "RELAY", "text": "Hello"}'"""


def docs_page(document: dict[str, Any]) -> str:
    """The whole page as HTML.

    :param document: see `relay.http.openapi.openapi_document`.
    """
    info = document["info"]
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(info['title'])}: API</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{escape(info['title'])}: API</h1><p>{escape(info['description'])} Version {escape(info['version'])}. ",
        "Programs can read <a href='/openapi.json'>openapi.json</a>.</p>",
        "<p>Log in with HTTP Basic (account and API key) or <code>Authorization: Bearer KEY</code>. "
        "Bodies are JSON or forms.</p>",
        f"<pre><code>{escape(_EXAMPLE)}</code></pre><nav aria-label='Contents'><ul>",
        *(f"<li><a href='#{o['operationId']}'>{escape(o['summary'])}</a></li>" for _, _, o in operations),
        "<li><a href='#problems'>Problems</a></li></ul></nav>",
    ]
    for path, method, operation in operations:
        parts += _operation(document, path, method, operation)
    parts.append("<h2 id='problems'>Problems</h2><p>Errors are <code>application/problem+json</code> (RFC 9457).</p>")
    parts.append("<div class='wide'><table><tr><th>type</th><th>meaning</th></tr>")
    parts += [
        f"<tr id='problem-{kind}'><td><code>/docs#problem-{kind}</code></td><td>{escape(title)}</td></tr>"
        for kind, title in (
            *PROBLEM_KINDS.items(),
            *((kind_of_status(status), f"{status}: {meaning}") for status, meaning in STATUS_MEANINGS.items()),
        )
    ]
    parts.append("</table></div></main></body></html>")
    return "".join(parts)


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> list[str]:
    call = f"<code><span class='verb'>{method.upper()}</span>{escape(path)}</code>"
    parts = [
        f"<h2 id='{operation['operationId']}'>{call}</h2>",
        f"<p>{escape(operation['summary'])}. {_text(operation.get('description', ''))}</p>",
    ]
    rows = [(p["name"], f"{p['in']}, {_type(p['schema'])}", p["description"]) for p in operation.get("parameters", ())]
    body = operation.get("requestBody")
    if body:
        rows += _fields(document, body["content"]["application/json"]["schema"])
    if rows:
        parts.append("<h3>Takes</h3>" + _table(rows))
    for status, answer in operation["responses"].items():
        content = answer["content"].get("application/json")
        if content:
            fields = _fields(document, content["schema"])
            parts.append(f"<h3>Answer {status}</h3>" + (_table(fields) if fields else ""))
    problems = [status for status, answer in operation["responses"].items() if int(status) >= 400]
    if problems:
        parts.append(f"<p>Problems: {', '.join(problems)}.</p>")
    return parts


def _fields(document: dict[str, Any], schema: dict[str, Any]) -> list[tuple[str, str, str]]:
    schema = _resolved(document, schema)
    for choice in schema.get("anyOf", ()):
        if "$ref" in choice or "anyOf" in choice:
            return _fields(document, choice)
    required = schema.get("required", ())
    return [
        (name, _type(field) + ("" if name in required else ", optional"), field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    return "array" if schema.get("type") == "array" else str(schema.get("type", "any"))


def _table(rows: list[tuple[str, str, str]]) -> str:
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{_text(text)}</td></tr>"
        for name, kind, text in rows
    )
    return f"<div class='wide'><table><tr><th>name</th><th>type</th><th>meaning</th></tr>{cells}</table></div>"


def _text(text: str) -> str:
    """Escapes a text, and marks the parts in backquotes as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
