"""Keeps decisions for as long as the decision service allows."""

from collections import OrderedDict

from relay.values.decision import Decision, Question

_Key = tuple[str, str]


class DecisionCache:
    """Keeps decisions by account, sender and number. If it is full, the account that has most loses its oldest one.

    So an account with very many numbers doesn't take the places of the others.

    :param most: how many decisions it keeps.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._accounts: dict[str, OrderedDict[_Key, tuple[float, Decision]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, question: Question, now: float) -> Decision | None:
        """Returns the decision about a message; None if the service must be asked."""
        kept = self._accounts.get(question.account)
        found = kept.get((question.sender, question.to)) if kept is not None else None
        if found is None:
            return None
        if found[0] <= now:
            self._drop(question.account, (question.sender, question.to))
            return None
        return found[1]

    def keep(self, question: Question, decision: Decision, until: float) -> None:
        """Keeps a decision until this time, or until its place is needed."""
        key = (question.sender, question.to)
        kept = self._accounts.setdefault(question.account, OrderedDict())
        if kept.pop(key, None) is None:
            self._count += 1
        kept[key] = (until, decision)
        if self._count > self._most:
            largest = question.account
            if len(kept) * len(self._accounts) < self._most:
                largest = max(self._accounts, key=lambda name: len(self._accounts[name]))
            self._drop(largest, next(iter(self._accounts[largest])))

    def _drop(self, account: str, key: _Key) -> None:
        kept = self._accounts[account]
        del kept[key]
        self._count -= 1
        if not kept:
            del self._accounts[account]
