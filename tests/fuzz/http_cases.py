"""Nearly correct HTTP requests, as the octets of whole connections."""

import json
import random
from base64 import b64encode

from tests.fuzz.mutations import mutated

_LOGIN = b"Authorization: Basic " + b64encode(b"acme:key")
_MESSAGE = {"to": "+447700900001", "from": "447700900000", "text": "hello"}
_ID = "72b83667-a8f1-4c09-861f-e1ee6dd4561b"

_PATHS = (
    "/messages",
    "/messages?id=1",
    f"/messages/{_ID}",
    f"/messages/{_ID}/notify",
    "/messages/%00%0d%0a",
    "/notifications?after=0&limit=10",
    "/notifications?after=-1&limit=99999999999999999999",
    "/notifications?after=9e999&limit=nan&wait=inf",
    "/account",
    "/account/notification-url",
    "/account/test-notification",
    "/account/attempts",
    "/cgi-bin/sendsms?username=acme&password=key&to=447700900001&from=447700&text=hi&charset=utf-8&coding=2",
    "/cgi-bin/sendsms?username=acme&password=key&to=%FF&text=%ED%A0%80&charset=utf-16&dlr-mask=9999999999999999999",
    "/send?username=acme&password=key&to=447700900001&content=hi&dlr=yes&dlr-url=http://x/&dlr-level=3",
    "/",
    "/login",
    "/my/settings",
    "/my/messages?q=%00%FF&page=-1",
    "/docs",
    "/openapi.json",
    "/../../etc/passwd",
    "//",
    "*",
    "http://elsewhere.example/messages",
)
_METHODS = (
    "POST",
    "POST",
    "POST",
    "GET",
    "PUT",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "CONNECT",
    "PRI",
    "get",
)

_VALUES = (
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\u0000"',
    '"\\u202e\\r\\nX: y"',
    "1e999",
    "-1e-999",
    "9" * 5000,
    "-0",
    "NaN",
    "Infinity",
    "null",
    "true",
    "{}",
    "[]",
    '""',
    '"' + "x" * 70_000 + '"',
    '"+' + "4" * 41 + '"',
    '"\u0661\u0662\u0663"',
    '"http://127.0.0.1:1/\\r\\nX: y"',
    '"http://[::ffff:127.0.0.1]/"',
    '"//x"',
    '"\U0001f600' + "\u0301" * 500 + '"',
)
_FIELDS = ("to", "from", "text", "reference", "validity_seconds", "notification_url", "url", "txet", "")
_JSON_PIECES = (b"[", b"{", b'"', b"\\u", b"\\ud83d", b",", b":", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"1e9999")

_HEADERS = (
    b"Content-Length: -1",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Content-Length: 0x10",
    b"Content-Length: 99999999999999999999999999",
    b"Content-Length: \xd9\xa5",
    b"Content-Length:",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding : chunked",
    b"Expect: 100-continue",
    b"Connection: close",
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"Content-Type: application/x-www-form-urlencoded",
    b"Content-Type: application/json; charset=utf-7",
    b"Content-Type: multipart/form-data; boundary=x",
    b"Content-Encoding: gzip",
    b"Idempotency-Key: again",
    b"Idempotency-Key: \xff",
    b"Idempotency-Key: " + b"k" * 300,
    b"Authorization: Basic !!!",
    b"Authorization: Basic " + b64encode(b"acme:\xff\xfe\0"),
    b"Authorization: Bearer \xff\xfe",
    b"Authorization:",
    b"Authorization: Bearer key",
    b"Cookie: session=\xff\x00; session=; =",
    b"Origin: null",
    b"Host:",
    b" folded",
    b"no colon",
    b": no name",
    b"X\0Y: z",
    b"Range: bytes=0-,0-,0-",
    b"Accept-Language: " + b"a;q=1," * 1000,
    b"X-Long: " + b"x" * 20_000,
)
_CHUNKS = (
    b"5\r\nhello\r\n0\r\n\r\n",
    b"FFFFFFFFFFFFFFFFFFFF\r\nx",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"e" * 20_000 + b"\r\nhello\r\n0\r\n\r\n",
    b"1\r\nx\r\n" * 3000,
    b"0\r\n" + b"T: v\r\n" * 3000 + b"\r\n",
    b"0\r\nContent-Length: 5\r\n\r\nhello",
    b"5\nhello\n0\n\n",
)


def _json(choice: random.Random) -> bytes:
    how = choice.randrange(8)
    if how == 0:
        deep = choice.choice((50, 1000, 100_000))
        return choice.choice((b"[" * deep, b'{"to":' * deep, b"[" * deep + b"]" * deep))
    if how <= 3:
        fields = {name: json.dumps(value) for name, value in _MESSAGE.items()}
        for _ in range(choice.choice((1, 2))):
            fields[choice.choice(_FIELDS)] = choice.choice(_VALUES)
        text = "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
        return (f"[{text},{json.dumps(_MESSAGE)},{text}]" if how == 3 else text).encode("utf-8", "surrogatepass")
    good = json.dumps(choice.choice((_MESSAGE, [_MESSAGE] * 3, {"url": None}))).encode()
    return mutated(good, choice, _JSON_PIECES) if how < 7 else good


def one_request(choice: random.Random) -> bytes:
    """A request with its line, its head, its framing or its body wrong, or nothing."""
    body = _json(choice)
    head = [f"{choice.choice(_METHODS)} {choice.choice(_PATHS)} HTTP/1.1".encode(), b"Host: relay.example", _LOGIN]
    if choice.random() < 0.2:
        head[0] = mutated(head[0], choice, (b" ", b"\t", b"\0", b"\r", b"HTTP/9.9", b"HTTP/1.0", b"%", b"?" * 50))
    length = b"Content-Length: %d" % len(body)
    framing = choice.randrange(10)
    if framing < 7:
        head.append(length)
    elif framing == 7:
        head.append(b"Transfer-Encoding: chunked")
        body = choice.choice(_CHUNKS)
    elif framing == 8:
        head.append(b"Content-Length: %d" % choice.choice((0, 1, len(body) + 1, len(body) - 1 if body else 0, 2**31)))
    for _ in range(choice.choice((0, 0, 1, 2))):
        head.insert(choice.randrange(1, len(head) + 1), choice.choice(_HEADERS))
    if choice.random() < 0.02:
        head += [b"H%d: v" % number for number in range(choice.choice((100, 600, 5000)))]
    octets = b"\r\n".join(head) + b"\r\n\r\n" + body
    return mutated(octets, choice, (b"\r\n", b"\n", b"\r", b"\0", b":")) if choice.random() < 0.15 else octets


def one_connection(choice: random.Random) -> bytes:
    """What one connection sends: a request, or several without waiting."""
    return b"".join(one_request(choice) for _ in range(choice.choice((1, 1, 2, 5))))
