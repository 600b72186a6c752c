"""Makes messages of texts, in a form that suits the carriers of their route."""

from collections.abc import Iterator

from relay.routing.flow import MessageFlow
from relay.text.compose import compose, destination_address, source_address
from relay.text.text_form import PLAIN


class Composer:
    """Turns customers' words into what goes to carriers; see `relay.http.collaborators.Compose`.

    :param references: ties the parts of a long message together; the next one is taken for each message.
    """

    def __init__(self, flow: MessageFlow, references: Iterator[int]) -> None:
        self._flow = flow
        self._references = references

    def __call__(
        self, to: str, sender: str, text: str, *, account: str = "", flash: bool = False, tlvs: bytes = b""
    ) -> tuple[bytes, tuple[bytes, ...]]:
        """Addresses and parts, as in `Submission`.

        :param account: whose routes are looked at; "": none.
        :param flash: as in `compose`; likewise `tlvs`.
        :raises InvalidText: it can't be sent.
        """
        form = PLAIN
        if account:
            form = self._flow.text_form(account, source_address(sender) + destination_address(to))
        reference = next(self._references)
        return compose(sender, to, text, reference=reference, form=form, flash=flash, tlvs=tlvs)[:2]
