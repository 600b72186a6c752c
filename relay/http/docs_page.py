"""Makes the page `/docs`, which describes the API, from the OpenAPI document. It loads nothing from other sites."""

import json
from html import escape
from typing import Any, Final

from relay.http.api_examples import EXAMPLES, PROBLEM, Example
from relay.http.docs_html import block, paragraph, table, text
from relay.http.notification_guide import SECTIONS, notification_guide
from relay.http.problems import PROBLEM_KINDS, STATUS_MEANINGS, kind_of_status

_STYLE: Final = """
:root { color-scheme: light; --ground: #f5f6fa; --surface: #fff; --sunken: #f0f1f6; --ink: #171923; --soft: #565c6e;
  --line: #e1e4ec; --accent: #4338ca; }
@media (prefers-color-scheme: dark) { :root { color-scheme: dark; --ground: #0f1117; --surface: #181b24;
  --sunken: #11141b; --ink: #eceef4; --soft: #a4abbd; --line: #2a2f3c; --accent: #a5b0ff; } }
*, *::before, *::after { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  margin: 0; background: var(--ground); color: var(--ink); }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1, h2, h3 { line-height: 1.25; letter-spacing: -.01em; scroll-margin-top: 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .4rem; padding-top: 1.2rem;
  border-top: 1px solid var(--line); } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
code { font: .92em ui-monospace, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; }
.verb { color: var(--accent); font-weight: 700; margin-right: .4em; }
.wide { overflow-x: auto; background: var(--surface); border: 1px solid var(--line); border-radius: 12px;
  padding: .2rem .8rem; } .wide code { overflow-wrap: normal; }
table { border-collapse: collapse; width: 100%; } tr + tr > td { border-top: 1px solid var(--line); }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; }
td:last-child { min-width: 13rem; } th { font-weight: 600; color: var(--soft); }
nav ul { padding-left: 1.2rem; columns: 18rem; } nav li { break-inside: avoid; }
nav a { display: inline-block; padding: .2rem 0; } a { color: var(--accent); text-underline-offset: 2px; }
pre { background: var(--sunken); border: 1px solid var(--line); border-radius: 12px; padding: .8rem; overflow-x: auto; }
pre code { overflow-wrap: normal; }
details { margin: .4rem 0; } summary { cursor: pointer; color: var(--accent); font-weight: 600; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
"""


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
        "Programs can read <a href='/openapi.json'>openapi.json</a>.</p><nav aria-label='Contents'><ul>",
        *(f"<li><a href='#{anchor}'>{title}</a></li>" for anchor, title in SECTIONS.items()),
        "<li><a href='#calls'>Calls</a></li>",
        *(f"<li><a href='#{o['operationId']}'>{escape(o['summary'])}</a></li>" for _, _, o in operations),
        "<li><a href='#problems'>Problems</a></li></ul></nav>",
    ]
    parts += notification_guide(
        _fields(document, {"$ref": "#/components/schemas/NotificationBody"}),
        _fields(document, {"$ref": "#/components/schemas/InboundReport"}),
    )
    parts.append("<h2 id='calls'>Calls</h2>")
    parts.append(
        paragraph(
            "Log in with HTTP Basic (account and API key) or `Authorization: Bearer KEY`. Bodies are JSON, or "
            "forms with the same fields, except for replays. In the examples, replace `HOST` by this relay's host."
        )
    )
    for path, method, operation in operations:
        parts += _operation(document, path, method, operation)
    parts.append("<h2 id='problems'>Problems</h2><p>Errors are <code>application/problem+json</code> (RFC 9457).</p>")
    parts.append(block(json.dumps(PROBLEM, indent=1)))
    parts.append("<div class='wide' tabindex='0'><table><tr><th>type</th><th>meaning</th></tr>")
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
        f"<p>{escape(operation['summary'])}. {text(operation.get('description', ''))}</p>",
    ]
    rows = [(p["name"], f"{p['in']}, {_type(p['schema'])}", p["description"]) for p in operation.get("parameters", ())]
    body = operation.get("requestBody")
    if body:
        rows += _fields(document, body["content"]["application/json"]["schema"])
    if rows:
        parts.append("<h3>Takes</h3>" + _table(rows))
    example = EXAMPLES[operation["operationId"]]
    parts.append("<h3>Example</h3>" + block(_curl(method, example)) + block(json.dumps(example.answer, indent=1)))
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
    if "enum" in schema:
        return "string"
    return "array" if schema.get("type") == "array" else str(schema.get("type", "any"))


def _table(rows: list[tuple[str, str, str]]) -> str:
    return table(("name", "type", "meaning"), [(f"`{name}`", kind, words) for name, kind, words in rows])


def _curl(method: str, example: Example) -> str:
    """The call as a command for a shell."""
    verb = "" if method == "get" or (example.body is not None and method == "post") else f"-X {method.upper()} "
    command = f"curl -u ACCOUNT:KEY {verb}'https://HOST{example.path}'"
    if example.body is not None:
        command += f" \\\n  -H 'Content-Type: application/json' \\\n  -d '{json.dumps(example.body)}'"
    return command
