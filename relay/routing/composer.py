"""Makes the parts of a message from its text, in the form that the carriers of its route want."""

from collections.abc import Iterator, Sequence

from relay.routing.flow import MessageFlow
from relay.text.compose import compose, destination_address, source_address
from relay.text.text_form import PLAIN


class Composer:
    """Makes the parts of a message from a customer's text. It implements `relay.http.collaborators.Compose`.

    :param references: numbers that tie the parts of a long message together. Each message takes the next number.
    """

    def __init__(self, flow: MessageFlow, references: Iterator[int]) -> None:
        self._flow = flow
        self._references = references

    def __call__(
        self,
        to: str,
        sender: str,
        text: str,
        *,
        account: str = "",
        flash: bool = False,
        tlvs: bytes = b"",
        tags: Sequence[str] = (),
    ) -> tuple[bytes, tuple[bytes, ...]]:
        """Returns the addresses and the parts of a message, as in `Submission`.

        :param account: the account whose routes decide the form of the text; "" for the plain form.
        :param flash: as in `compose`.
        :param tlvs: as in `compose`.
        :param tags: as in `Message`.
        :raises InvalidText: the text or an address can't be sent.
        """
        form = PLAIN
        if account:
            form = self._flow.text_form(account, source_address(sender) + destination_address(to), tags)
        reference = next(self._references)
        return compose(sender, to, text, reference=reference, form=form, flash=flash, tlvs=tlvs)[:2]
