"""Writes host names in ASCII (IDNA 2008), as DNS, HTTP and TLS need them.

IDNA 2003 (Python's codec `idna`) writes faß.example as fass.example, which may belong to somebody else. So the relay
uses this module for all names that it resolves, writes into a Host header, or checks in a certificate.
"""

import idna


def ascii_host(name: str) -> str:
    """Writes a host name in ASCII (RFC 5891). A name in ASCII, or an address, is not changed.

    Capitals, wide letters and ideographic full stops are first mapped to their ordinary forms (UTS 46, without its
    transitional rules). Labels that are ASCII after that are not checked: private networks use names like `my_host`.

    :raises ValueError: the name has a character that no host name may have, or a label is too long.
    """
    if name.isascii():
        return name
    labels = idna.uts46_remap(name, std3_rules=False, transitional=False).split(".")
    return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels)
