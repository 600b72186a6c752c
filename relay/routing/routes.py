"""Finds the carriers that may take a message.

Theory of operation: if all routes have only a prefix as condition, one `PrefixTable` answers, and the rest of this
module costs nothing. Otherwise routes whose conditions differ only in the prefix form a group, and each group has its
own `PrefixTable`. The rank of a group depends on its conditions: account, sender, tag, hours, the most important first.
The ranks are tried from the highest one on. If several routes of a rank match, the route with the longest prefix wins;
with equal prefixes, the first one in the file wins. The groups that an account and a sender may use are remembered.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Final

import msgspec

from relay.config.prefix_table import PrefixTable
from relay.config.route_config import Route
from relay.config.sender_patterns import SenderPattern
from relay.routing.carrier_order import CarrierOrder
from relay.routing.hours import hours_of
from relay.routing.number_lists import NumberLists
from relay.routing.set_endings import NO_ENDINGS, Endings, SetEnding, ending_of, or_carriers
from relay.values.messages import destination_of, source_of

#: Returns the carriers for a message's addresses, in order of preference; () if no route matches.
Chooser = Callable[[bytes], tuple[str, ...]]
#: For this many senders, an account's groups are remembered. When there are this many, all are dropped.
_KEPT_SENDERS: Final = 10_000

#: No route avoids a carrier.
NOBODY_AVOIDED: Final[Mapping[int, Collection[str]]] = {}

#: The conditions that decide, the most important first: account, sender, tag, hours.
Rank = tuple[bool, tuple[int, int], bool, bool]


class CompiledRoute:
    """Holds a route of the configuration in a form for quick matching.

    :ivar index: its place in the configuration, counted from 0.
    :param avoided: as in `CarrierOrder`; likewise `salt`.
    :ivar rank: says which conditions the route has. A route with a higher rank goes first.
    :raises ValueError: `hours` or `sender` can't be read.
    """

    def __init__(self, index: int, route: Route, avoided: Collection[str] = (), salt: int = 0) -> None:
        self.index = index
        self.avoided = avoided
        self.route = route
        self.prefix = route.prefix.encode()
        self.sender = SenderPattern(route.sender) if route.sender else None
        self.hours = hours_of(route.hours) if route.hours else None
        self.order = CarrierOrder(route, avoided, salt)
        sender_rank = self.sender.rank if self.sender is not None else (0, 0)
        self.rank: Rank = (bool(route.account), sender_rank, bool(route.tag), self.hours is not None)

    @property
    def plain(self) -> bool:
        """True if the route has no condition but the prefix, and the same order of carriers for all numbers."""
        return not any(self.conditions) and self.order.fixed is not None

    @property
    def conditions(self) -> tuple[str, str, str, str]:
        """The conditions of the route besides the prefix: account, sender, tag, hours."""
        route = self.route
        return route.account, route.sender, route.tag, route.hours


class _Group(msgspec.Struct, frozen=True):
    """Holds routes whose conditions differ only in the prefix."""

    first: CompiledRoute
    table: PrefixTable[CompiledRoute | None]

    @classmethod
    def of(cls, routes: Sequence[CompiledRoute]) -> "_Group":
        """Makes the group of these routes. They must be in the order of the file."""
        table: dict[bytes, CompiledRoute | None] = {}
        for route in routes:
            # If two routes have the same prefix, the first one in the file wins, as its reader expects.
            table.setdefault(route.prefix, route)
        return cls(routes[0], PrefixTable(table, None))


class _AccountRoutes:
    """Finds the route of a message among the groups that its account may use. The best rank is tried first."""

    def __init__(self, routes: Sequence[CompiledRoute], lists: NumberLists | None) -> None:
        self._lists = lists
        # If keys are equal, sorting keeps the order of the file.
        by_rank = sorted(routes, key=lambda route: (route.rank, route.conditions), reverse=True)
        self._ranks = [
            [_Group.of(list(group)) for _, group in groupby(ranked, key=lambda route: route.conditions)]
            for _, ranked in groupby(by_rank, key=lambda route: route.rank)
        ]
        self._by_sender: dict[bytes, list[list[_Group]]] = {}

    def find(
        self, at: float, addresses: bytes, tags: Collection[str] | None = None, decided: Collection[str] = ()
    ) -> CompiledRoute | None:
        """Returns the route of a message, or None. Without `tags`, the number's tags in the lists count.

        :param decided: further tags of the message.
        """
        sender = source_of(addresses)
        ranks = self._by_sender.get(sender)
        if ranks is None:
            ranks = self._of_sender(sender)
        for rank in ranks:
            found: CompiledRoute | None = None
            for group in rank:
                tag = group.first.route.tag
                if tag:
                    if tags is None:
                        tags = self._lists.tags_of(destination_of(addresses)) if self._lists is not None else ()
                    if tag not in tags and tag not in decided:
                        continue
                hours = group.first.hours
                if hours is not None and not hours.hold(at):
                    continue
                route = group.table.find(addresses)
                if route is not None and (found is None or _before(route, found)):
                    found = route
            if found is not None:
                return found
        return None

    def carriers(self, at: float, addresses: bytes, decided: Collection[str] = ()) -> tuple[str, ...]:
        """Returns the carriers of a message; () if no route matches. `decided` is as in `find`."""
        route = self.find(at, addresses, None, decided)
        if route is None:
            return ()
        fixed = route.order.fixed
        return route.order.of(destination_of(addresses)) if fixed is None else fixed

    def _of_sender(self, sender: bytes) -> list[list[_Group]]:
        """Returns the groups that a sender may use, and remembers them."""
        ranks = [
            [group for group in rank if group.first.sender is None or group.first.sender.matches(sender)]
            for rank in self._ranks
        ]
        if len(self._by_sender) >= _KEPT_SENDERS:
            self._by_sender.clear()
        found = self._by_sender[sender] = [rank for rank in ranks if rank]
        return found


def _before(one: CompiledRoute, other: CompiledRoute) -> bool:
    """Returns true if `one` takes a message that both routes match. Both must have the same rank."""
    return (-len(one.prefix), one.index) < (-len(other.prefix), other.index)


class Routes:
    """Finds the carriers of a message by one configuration. It never changes; a reload makes a new one.

    :param lists: the lists of numbers, with their tags.
    :param endings: the test numbers of accounts, see `relay.routing.set_endings`.
    :param avoided: by the route's index: the carriers that it tries last. `salt` is as in `CarrierOrder`.
    :ivar compiled: the routes in the order of the file.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        lists: NumberLists | None = None,
        endings: Mapping[str, Endings] = NO_ENDINGS,
        avoided: Mapping[int, Collection[str]] = NOBODY_AVOIDED,
        salt: int = 0,
    ) -> None:
        self.lists = lists
        #: Whether a route avoids a carrier now.
        self.avoids = bool(avoided)
        self._endings = endings
        #: Returns the name of the list that refuses a number. None: no list refuses numbers.
        self.refuses = lists.refuses if lists is not None and lists.refuse else None
        self.compiled = [
            CompiledRoute(index, route, avoided.get(index, ()), salt) for index, route in enumerate(routes)
        ]
        #: True if a route replaces senders.
        self.replace_senders = any(route.order.source for route in self.compiled)
        self._plain: PrefixTable[tuple[str, ...]] | None = None
        if all(route.plain for route in self.compiled):
            carriers: dict[bytes, tuple[str, ...]] = {}
            for route in self.compiled:
                carriers.setdefault(route.prefix, route.order.fixed or ())
            self._plain = PrefixTable(carriers, ())
        names = {route.account for route in routes}
        self._by_account = {name: _AccountRoutes(self._open_to(name), lists) for name in names if name}
        self._others = _AccountRoutes(self._open_to(""), lists)

    def avoiding(self, avoided: Mapping[int, Collection[str]], salt: int) -> "Routes":
        """Makes the same routes, which try these carriers last. The arguments are those of the constructor."""
        return Routes([route.route for route in self.compiled], self.lists, self._endings, avoided, salt)

    def _open_to(self, account: str) -> list[CompiledRoute]:
        return [route for route in self.compiled if route.route.account in ("", account)]

    def chooser(self, account: str, at: float) -> Chooser:
        """Returns the function that finds the carriers for an account's messages at this time.

        Call it once for each batch. For a message to a test number it finds a `SetEnding`.
        """
        find: Chooser
        if self._plain is not None:
            find = self._plain.find
        else:
            find = partial(self._by_account.get(account, self._others).carriers, at)
        endings = self._endings.get(account)
        return find if endings is None else partial(or_carriers, endings, find)

    def carriers_of(
        self, addresses: bytes, account: str = "", at: float = 0.0, tags: Collection[str] = ()
    ) -> tuple[str, ...]:
        """Returns the carriers for one message, in order of preference; () if no route matches.

        For a message to a test number it returns a `SetEnding`.

        :param addresses: as in `Message`; likewise `tags`, which count beside the number's tags in the lists.
        :param at: seconds since 1970.
        """
        if self._endings and (ending := self.ending(addresses, account)) is not None:
            return ending
        if self._plain is not None:
            return self._plain.find(addresses)
        return self._by_account.get(account, self._others).carriers(at, addresses, tags)

    def ending(self, addresses: bytes, account: str) -> SetEnding | None:
        """Returns how a message ends whose number is a test number of the account. None: it is another number."""
        endings = self._endings.get(account)
        return None if endings is None else ending_of(endings, addresses)

    def find(
        self,
        addresses: bytes,
        account: str,
        at: float,
        tags: Collection[str] | None = None,
        decided: Collection[str] = (),
    ) -> CompiledRoute | None:
        """Returns the route of a message, or None if no route matches. Explanations use it.

        :param tags: the number's tags; None: the tags that the lists have for the number.
        :param decided: further tags of the message.
        """
        return self._by_account.get(account, self._others).find(at, addresses, tags, decided)
