"""The states of a carrier and of an account, as the operator's pages and commands show them."""

import msgspec


class CarrierLook(msgspec.Struct, frozen=True):
    """The state of one carrier. Counts are since the start; rates are per second, over the last ten seconds.

    :ivar draining: whether a reload removed the carrier, and it stays bound for outstanding receipts.
    :ivar receipts_out: how many receipts are outstanding. 0 for a carrier that doesn't drain; -1: not counted yet.
    :ivar drain_seconds: the time after which it is unbound at the latest.
    :ivar ended: how many messages receipts ended, by status.
    :ivar receipt_seconds: the median time from accepting a message to the receipt that ended it; -1.0: too long.
    :ivar without_id: parts that the carrier took without giving an id. No receipt can be matched to them.
    """

    name: str
    kind: str
    up: bool
    held: bool
    paused_seconds: float
    bound: int
    wanted: int
    queued: int
    queue_limit: int
    in_flight: int
    window: int
    rate: float
    rate_limit: float
    taken: int
    refused: int
    throttled: int
    in_doubt: int
    expired: int
    error_share: float
    response_seconds: float
    receipts: dict[str, int]
    last_error: str
    draining: bool = False
    receipts_out: int = 0
    drain_seconds: float = 0.0
    without_id: int = 0
    ended: dict[str, int] = {}
    receipt_seconds: float = 0.0

    @property
    def matched(self) -> int:
        """How many receipts found their message."""
        return sum(self.receipts.values()) - self.receipts["orphan"] - self.receipts["unreadable"]

    @property
    def delivered_share(self) -> float | None:
        """The share of the messages that receipts ended as delivered; None: none has ended."""
        total = sum(self.ended.values())
        return self.ended.get("DELIVRD", 0) / total if total else None


class UseLook(msgspec.Struct, frozen=True):
    """What an account with a quota or prices has used. Instants are in seconds since 1970.

    :ivar balance: decimal text; None: the account is not prepaid.
    :ivar is_low: whether the balance is below `low_balance`.
    :ivar currency: "": its messages have no price.
    :ivar messages_a_day: 0: no limit; likewise `messages_a_month`.
    :ivar messages_left: how many more the quota allows now; None: it has no limit.
    """

    balance: str | None
    currency: str
    messages_on_day: int
    messages_in_month: int
    messages_a_day: int
    messages_a_month: int
    messages_left: int | None
    day_ends_at: float
    month_ends_at: float
    is_low: bool = False


class AccountLook(msgspec.Struct, frozen=True):
    """The state of one account. Counts are since the start.

    :ivar suspended: whether an operator has suspended it; then `kept` is how many parts wait for the end of that.
    :ivar use: None: it has neither quota nor prices.
    :ivar failure_share: the share of the attempts to notify it in the last hour that failed; None: there was none.
    """

    name: str
    binds: int
    rate: float
    accepted: int
    refused: dict[str, int]
    delivered: int
    retries: int
    given_up: int
    url: str
    url_off: str
    url_failures: int
    url_blocked_seconds: float
    url_in_flight: int
    failure_share: float | None = None
    suspended: bool = False
    kept: int = 0
    use: UseLook | None = None
