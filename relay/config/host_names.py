"""Host names as DNS, HTTP and TLS want them: in ASCII, by IDNA 2008.

IDNA 2003 (Python's codec `idna`) writes faß.example as fass.example, which may belong to somebody else. So every name
that the relay resolves, names in a Host header or checks in a certificate comes from here.
"""

import idna


def ascii_host(name: str) -> str:
    """The host name in ASCII (RFC 5891). A name in ASCII, or an address, stays as it is.

    Capitals, wide letters and ideographic full stops are first mapped to their ordinary forms (UTS 46, without its
    transitional rules). Labels that are ASCII then are not looked at: private networks have names such as `my_host`.

    :raises ValueError: the name has a character that no host name may have, or a label is too long.
    """
    if name.isascii():
        return name
    labels = idna.uts46_remap(name, std3_rules=False, transitional=False).split(".")
    return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels)
