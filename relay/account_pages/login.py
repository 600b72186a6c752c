"""The login page, and pages that report a problem."""

from twisted.web.template import Tag

from relay.account_pages.html import brand, document, el, field


def login_page(token: str, wanted: str, *, account: str = "", problem: str = "") -> Tag:
    """Makes the login page.

    :param token: proves that the form is ours, because a cookie has it, too.
    :param wanted: the path of the page that follows the login.
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
            el("p", "Your key is the API key of your requests. ", el("a", "API documentation", href="/docs"),
               class_="hint"),
            class_="login",
        ),
    )  # fmt: skip


def problem_page(title: str, detail: str) -> Tag:
    """Makes a page that reports a problem."""
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
