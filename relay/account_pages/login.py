"""The login page, and pages that say what went wrong."""

from twisted.web.template import Tag

from relay.account_pages.html import brand, document, el, field


def login_page(token: str, wanted: str, *, account: str = "", problem: str = "") -> Tag:
    """Asks who someone is.

    :param token: also in a cookie: shows that the form is ours.
    :param wanted: the path to go on to.
    :param problem: why the last attempt failed.
    """
    return document(
        "Log in · SMS Relay",
        el(
            "main",
            brand(),
            el("h1", "My Account"),
            el("p", problem, class_="notice bad", role="alert") if problem else None,
            el(
                "form",
                el("input", type="hidden", name="csrf", value=token),
                el("input", type="hidden", name="next", value=wanted),
                field("Account", "account", el("input", type="text", value=account, autocomplete="username",
                                                autocapitalize="none", spellcheck="false", required=True,
                                                maxlength="100", autofocus=not account)),
                field("API key", "key", el("input", type="password", autocomplete="current-password", required=True,
                                           maxlength="1000", autofocus=bool(account))),
                el("button", "Log in", type="submit", class_="primary whole"),
                method="post",
                action="/login",
            ),
            el("p", "The key is the one of your API requests. ", el("a", "API documentation", href="/docs"),
               class_="hint"),
            class_="login",
        ),
    )  # fmt: skip


def problem_page(title: str, detail: str) -> Tag:
    """Says that something didn't work."""
    return document(
        f"{title} · SMS Relay",
        el(
            "main",
            brand(),
            el("h1", title),
            el("p", detail, role="alert"),
            el("p", el("a", "Back to the overview", href="/")),
            class_="login",
        ),
    )
