"""Messages from handsets (mobile-originated) on their way to a customer.

Both values are written to the journal in this form (`array_like`). So a new field may only be added at the end, with a
default.
"""

from typing import Final

import msgspec

#: Stands for an account's `inbound_url` where messages' own notification URLs stand: the queue of messages from
#: handsets has this URL.
INBOUND_URL: Final = "inbound:"
#: Stands in place of the interface ("smpp", "http") over which a message came.
INBOUND: Final = "inbound"


class InboundMessage(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=13):
    """A message from a handset, put together from its parts, and the journal's record of it.

    :ivar id: sixteen octets, see `relay.values.ids`.
    :ivar account: whose it is; "": nobody's. Then the record only says that the parts are not kept any more.
    :ivar received_at: when its last part came, in seconds since 1970.
    :ivar addresses: source (the handset) and destination, as in `relay.values.messages.Message.addresses`.
    :ivar data_coding: of its first part.
    :ivar octets: what it says, without user data headers.
    :ivar header: the user data header, without what tied its parts together; b"": it has none.
    :ivar parts: how many parts the handset sent.
    :ivar reference: of a long message, see `InboundPart`.
    :ivar missing: the numbers of the parts that did not come in time.
    :ivar webhook, smpp: the ways by which the account gets it.
    :ivar cursor: its place in the account's feed. The store sets it.
    """

    id: bytes
    account: str
    carrier: str
    received_at: float
    addresses: bytes
    data_coding: int
    octets: bytes
    header: bytes = b""
    parts: int = 1
    reference: int = 0
    missing: tuple[int, ...] = ()
    webhook: bool = True
    smpp: bool = False
    cursor: int = 0

    @property
    def key(self) -> "PartsKey":
        """What its parts have in common."""
        return self.carrier, self.addresses, self.reference, self.parts


class InboundPart(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=14):
    """One part of a long message from a handset, kept until the others are there. The journal's record of it.

    :ivar reference: ties the parts of a message together; the same handset uses it again later.
    :ivar count: how many parts there are.
    :ivar number: which one it is, from 1.
    :ivar header: as in `InboundMessage`.
    """

    carrier: str
    received_at: float
    addresses: bytes
    reference: int
    count: int
    number: int
    data_coding: int
    octets: bytes
    header: bytes = b""

    @property
    def key(self) -> "PartsKey":
        """What the parts of one message have in common."""
        return self.carrier, self.addresses, self.reference, self.count


#: Carrier, addresses, reference, and number of parts.
PartsKey = tuple[str, bytes, int, int]
