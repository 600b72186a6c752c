"""A customer at a relay's My Account, without a browser: logs in and gets pages."""

import re
import urllib.request
from http.cookiejar import CookieJar
from urllib.parse import urlencode

from twisted.internet.threads import deferToThread

from tests import HUNG_SECONDS
from tests.integration.harness import Relay


async def get_page(relay: Relay, path: str, account: str = "acme", key: str = "key") -> str:
    """A page of an account, after a login of its own."""

    def get() -> str:
        base = f"http://127.0.0.1:{relay.http_port}"
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )
        form = opener.open(f"{base}/login", timeout=HUNG_SECONDS).read().decode()
        token = re.findall(r'name="csrf" value="([^"]+)"', form)[0]
        fields = urlencode({"csrf": token, "account": account, "key": key, "next": "/my/settings"})
        opener.open(f"{base}/login", fields.encode(), timeout=HUNG_SECONDS)
        body: bytes = opener.open(base + path, timeout=HUNG_SECONDS).read()
        return body.decode()

    return await deferToThread(get)
