"""A carrier over HTTP: the link's queue, pauses and doubts as for any carrier, with HTTP where it has SMPP sessions.

Theory of operation: `CarrierLink` is given an `HttpCarrierSession` in place of its binds. Receipts don't come over
that session but to the HTTP listener, and go to the same `ReceiptIntake`. Each part goes up under a key that follows
from message and part, so that the other relay knows it again when it is sent anew after the death of this process.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from relay.accounts.signing import secret_key
from relay.carriers.binds import pause_seconds
from relay.carriers.http_session import HttpCarrierSession
from relay.carriers.link import CarrierLink
from relay.carriers.relay_api import NotificationReader, basic_authorization, item_json
from relay.config import model
from relay.routing.flow import MessageFlow
from relay.routing.flow_api import Outgoing
from relay.values.ids import id_text
from relay.values.messages import Receipt


class HttpCarrierLink(CarrierLink):
    """See the module's text.

    :param http: a treq client that may reach the carrier.
    """

    def __init__(
        self,
        name: str,
        settings: model.Carrier,
        flow: MessageFlow,
        http: Any,
        clock: IReactorTime,
        *,
        queue_bytes: int,
        pdu_bytes: int,
        fraction: Callable[[], float],
    ) -> None:
        def item_of(body: bytes, token: object) -> bytes | None:
            assert isinstance(token, Outgoing)
            validity_seconds = token.expires_at - clock.seconds()
            if validity_seconds <= 0:
                return None
            return item_json(body, f"{id_text(token.id)}/{token.part}", validity_seconds)

        def session(owner: CarrierLink) -> HttpCarrierSession:
            return HttpCarrierSession(
                owner,
                http,
                settings.connect.rstrip("/"),
                basic_authorization(settings.system_id, settings.password.reveal()),
                item_of,
                clock,
                window=settings.window,
                timeout_seconds=settings.response_timeout_seconds,
                pause_seconds=lambda failures: pause_seconds(
                    failures, settings.reconnect_min_seconds, settings.reconnect_max_seconds, fraction()
                ),
            )

        super().__init__(
            name,
            settings,
            flow,
            None,
            clock,
            queue_bytes=queue_bytes,
            pdu_bytes=pdu_bytes,
            fraction=fraction,
            make_binds=lambda owner: [session(owner) for _ in range(settings.binds)],
        )
        secret = settings.signing_secret
        # The configuration's checks see to it that there is one.
        key = b"" if secret is None else secret_key(secret.reveal())
        self.reader = NotificationReader(name, settings.dialect, key)

    def is_sending(self, message_id: bytes) -> bool:
        # Also a session that isn't bound may hold parts, which are in doubt and will be posted again.
        return super().is_sending(message_id) or any(
            type(token) is Outgoing and token.id == message_id for bind in self._binds for token in bind.sending()
        )

    @property
    def busy(self) -> bool:
        return super().busy or any(bind.sending() for bind in self._binds)

    def unsent(self, session: HttpCarrierSession, tokens: Sequence[object]) -> None:
        """Parts that were handed to a session and certainly didn't reach the carrier: back to the queue's head."""
        parts = [token for token in tokens if type(token) is Outgoing and not token.done]
        self._unmark(parts)
        self._enqueue_first(parts)
        # Where the session is down, other carriers may take them.
        self._flow.link_changed()
        self._pump()
        self._drain.check()

    def read_again(self, kept: Receipt) -> Receipt | None:
        return self.reader.read_again(kept)

    async def keep(self, receipts: list[Receipt]) -> bool:
        """True when the receipts are durable, False when they can't be made so."""
        return await self.intake.keep(receipts)
