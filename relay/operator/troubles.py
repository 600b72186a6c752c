"""Says what is wrong with the relay, and what to do about it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from relay.config.changes import ReloadResult
from relay.operator.health import Readiness
from relay.operator.looks import AccountLook, CarrierLook
from relay.quality.quality_rules import Avoided
from relay.routing.stale_names import StaleNames


class Trouble(msgspec.Struct, frozen=True):
    """One thing that is wrong.

    :ivar what: what is wrong, without a full stop at the end.
    :ivar cure: one or two sentences: what to do; "" if `what` says it.
    :ivar page: the path of the page that shows more; "": none does.
    """

    what: str
    cure: str
    page: str = ""

    @property
    def sentence(self) -> str:
        """The trouble as one text."""
        return f"{self.what}. {self.cure}" if self.cure else self.what


#: What to do about a stage of the readiness, by its name.
_STAGE_CURES = {
    "start": "If it doesn't end by itself, the log says why: see relay_start_refused or relay_start_failed",
    "journal": "No message is accepted meanwhile. Make room on the disk or repair it; the relay tries every second, "
    "and goes on by itself",
    "listeners": "If it stays so, the log says why",
}


def troubles(
    state: Readiness,
    carriers: Iterable[CarrierLook],
    accounts: Iterable[AccountLook],
    store: Mapping[str, Any],
    stale_names: StaleNames,
) -> list[Trouble]:
    """Says what is wrong, the worst first."""
    found = [
        Trouble(f"{stage.name}: {stage.reason}", _STAGE_CURES.get(stage.name, ""))
        for stage in state.stages
        if not stage.ok and not stage.name.startswith("carrier ")
    ]
    for carrier in carriers:
        found += _of_carrier(carrier)
    found += _of_stale_names(stale_names)
    for account in accounts:
        found += _of_account(account)
        found += _of_balance(account)
    return found + _of_receipts(store)


def _of_carrier(carrier: CarrierLook) -> list[Trouble]:
    name, page = carrier.name, f"/page/carriers/{quote(carrier.name, safe='')}"
    if carrier.draining:
        if carrier.bound or not carrier.receipts_out:
            return []
        return [
            Trouble(
                f"{name} was removed with {carrier.receipts_out} receipts outstanding, and is down: "
                f"{carrier.last_error or 'not bound'}",
                "The relay goes on trying to bind. If the carrier won't come back, unbind it now",
                page,
            )
        ]
    found = []
    if carrier.held:
        found.append(
            Trouble(
                f"{name} is held by the operator; {carrier.queued} parts wait",
                f"Resume it here, or with: python -m relay resume {name}",
                page,
            )
        )
    elif not carrier.up:
        reason = carrier.last_error.rstrip(".") or "not bound yet"
        found.append(
            Trouble(
                f"{name} is down: {reason}; {carrier.queued} parts wait",
                "Check its address, the login and the firewall; the log has each attempt. The relay goes on trying",
                page,
            )
        )
    elif carrier.bound < carrier.wanted:
        found.append(
            Trouble(
                f"{name} has {carrier.bound} of {carrier.wanted} binds: {carrier.last_error.rstrip('.')}",
                f"If the carrier allows fewer, lower carriers.{name}.binds",
                page,
            )
        )
    if carrier.queued > 0.8 * carrier.queue_limit:
        found.append(
            Trouble(
                f"{name}'s queue is nearly full: {carrier.queued} of {carrier.queue_limit}",
                "When it is full, messages that only it can take are refused. Add a carrier to its routes, or have its "
                "rate raised",
                page,
            )
        )
    if carrier.error_share > 0.2:
        found.append(
            Trouble(
                f"{name} refused {carrier.error_share:.0%} in the last hour: {carrier.last_error.rstrip('.')}",
                "Look at the refused messages; if the error is the carrier's own, ask the carrier",
                f"/page/messages?carrier={quote(name, safe='')}&status=carrier-reject",
            )
        )
    if carrier.without_id:
        found.append(
            Trouble(
                f"{name} took {carrier.without_id} parts and gave them no message_id, so no receipt can be matched to "
                "them",
                "Ask the carrier",
                page,
            )
        )
    return found


def _of_stale_names(stale_names: StaleNames) -> list[Trouble]:
    return [
        *(
            Trouble(
                f"{count} parts wait for receipts of {name}, which is not in the configuration",
                "Put it back until the receipts have come; otherwise these messages end without receipts",
            )
            for name, count in stale_names.carriers.items()
        ),
        *(
            Trouble(
                f"{count} notifications are owed to {name}, which is not in the configuration",
                "Put it back until they are delivered; otherwise nobody gets them",
            )
            for name, count in stale_names.accounts.items()
        ),
    ]


def _of_account(account: AccountLook) -> list[Trouble]:
    page = f"/page/accounts/{quote(account.name, safe='')}"
    if account.suspended:
        what = f"{account.name} is suspended by the operator; {account.kept} parts wait"
        return [Trouble(what, f"End the suspension here, or with: python -m relay unsuspend {account.name}", page)]
    if account.url_off:
        return [
            Trouble(
                f"{account.name}'s notification URL is off: {account.url_off}",
                "Its notifications wait until their retry window ends. Switch it on when the customer's server works",
                page,
            )
        ]
    if account.url_failures:
        times = "once" if account.url_failures == 1 else f"{account.url_failures} times in a row"
        return [
            Trouble(
                f"{account.name}'s notification URL failed {times}",
                "Its messages show what it answered. Tell the customer; the relay goes on trying",
                f"/page/messages?account={quote(account.name, safe='')}&notification=owed",
            )
        ]
    return []


def _of_balance(account: AccountLook) -> list[Trouble]:
    use = account.use
    if use is None or not use.is_low:
        return []
    what = f"{account.name}'s balance is low: {use.balance} {use.currency}"
    cure = "Tell the customer: when it is used up, messages are refused"
    return [Trouble(what, cure, f"/page/accounts/{quote(account.name, safe='')}")]


def _of_receipts(store: Mapping[str, Any]) -> list[Trouble]:
    found = []
    page = "/page/receipts"
    if store["orphans"]:
        found.append(
            Trouble(
                f"{store['orphans']} receipts have ids that no message has",
                "To find the dialect that matches them, see Receipts on the page, or run python -m relay dialect "
                "--orphans",
                page,
            )
        )
    for name, count in store["evidence"].items():
        found.append(
            Trouble(
                f"receipts of {name} match too few messages: {count} that found none in time are kept",
                "Its dialect is probably wrong: python -m relay dialect --orphans, or Receipts on the page, says which "
                "would match. Correct it and reload; if nothing is wrong, python -m relay dialect --dismiss " + name,
                page,
            )
        )
    if store["unreadable"]:
        found.append(
            Trouble(
                f"{store['unreadable']} receipts could not be read", "See Receipts on the page for their octets", page
            )
        )
    if store["ambiguous_receipts"]:
        found.append(
            Trouble(
                f"{store['ambiguous_receipts']} receipts could belong to several messages, because a carrier gave an "
                f"id twice; the latest: {store['latest_ambiguous']}",
                "See Receipts on the page. If the carrier rewrites numbers, set its compare_numbers to never",
                page,
            )
        )
    return found


def of_reload(reload: ReloadResult | None) -> Sequence[Trouble]:
    """Says that the last reload was refused, if it was."""
    if reload is None or not reload.problems:
        return ()
    at = datetime.fromtimestamp(reload.at, UTC)
    more = f" (and {len(reload.problems) - 1} more)" if len(reload.problems) > 1 else ""
    what = f"the reload at {at:%H:%M:%S} UTC was refused, and the old configuration holds: {reload.problems[0]}{more}"
    return [Trouble(what, "Correct the file and reload: python -m relay reload", "/page/configuration")]


def of_avoided(avoided: Iterable[Avoided]) -> list[Trouble]:
    """What is wrong with carriers that routes avoid."""
    return [
        Trouble(
            f"The route for {each.route} avoids {each.carrier}, which delivered {each.share:.0%} of {each.messages} "
            "messages",
            f"It comes back by itself when it delivers {each.back_at:.0%}. Ask the carrier",
            "/page/quality",
        )
        for each in avoided
    ]


def of_history(reason: str) -> Sequence[Trouble]:
    """Says that the history can't be written.

    :param reason: why; "": it can be written.
    """
    if not reason:
        return ()
    return [Trouble(f"the history can't be written: {reason}", "Messages go their way. Make room on its disk")]
