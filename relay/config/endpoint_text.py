"""Reads Twisted endpoint descriptions without Twisted: their arguments, and whether other machines can reach them.

The grammar is Twisted's (`twisted.internet.endpoints.serverFromString`). Colons separate the arguments. An argument is
`name=value`, or it is known by its position. A backslash stands before a colon that belongs to a value.
`relay.app.endpoint_check` checks whether Twisted accepts a description.
"""

import ipaddress

#: The position of `interface` among the arguments of each kind, counted after the kind.
_INTERFACE_POSITION = {"tcp": 1, "tcp6": 1, "ssl": 4}


def split_description(description: str) -> list[str]:
    """Splits an endpoint description at its colons. `\\:` is a colon within an argument."""
    parts = [""]
    escaped = False
    for character in description:
        if escaped or character not in ":\\":
            parts[-1] += character
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            parts.append("")
    return parts


def join_description(parts: list[str]) -> str:
    """Writes the description that `split_description` would split into these arguments."""
    return ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in parts)


def is_loopback(description: str) -> bool:
    """Whether only the endpoint's own machine can reach it. If that isn't certain, the answer is no.

    It isn't certain for an endpoint behind a proxy (`haproxy:`).
    """
    kind, *arguments = split_description(description)
    if kind == "unix":
        return True
    if kind not in _INTERFACE_POSITION:
        return False
    return _is_loopback_address(_interface(arguments, _INTERFACE_POSITION[kind]))


def _interface(arguments: list[str], position: int) -> str:
    by_position = []
    for argument in arguments:
        name, separator, value = argument.partition("=")
        if not separator:
            by_position.append(argument)
        elif name == "interface":
            return value
    return by_position[position] if len(by_position) > position else ""


def _is_loopback_address(text: str) -> bool:
    if text == "localhost":
        return True
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
