"""The login page, and pages that report a problem."""

from twisted.web.template import Tag

from relay.account_pages.html import brand, document, el, field


def login_page(token: str, wanted: str, *, account: str = "", problem: str = "", missing: bool = False) -> Tag:
    """Makes the login page.

    :param token: proves that the form is ours, because a cookie has it, too.
    :param wanted: the path of the page that follows the login.
    :param problem: why the last attempt failed.
    :param missing: whether the name, the key or both were left empty.
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
                                                maxlength="100", autofocus=not account),
                      problem="Enter the account's name." if missing and not account else ""),
                field("API key", "key", el("input", type="password", autocomplete="current-password", required=True,
                                           maxlength="1000", autofocus=bool(account)),
                      problem="Enter the API key." if missing else ""),
                el("button", "Log in", type="submit", class_="primary whole"),
                method="post",
                action="/login",
                novalidate=True,
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
