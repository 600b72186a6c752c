"""What the admin listener answers to actions and searches, in JSON."""

from collections.abc import Awaitable
from typing import Final

import msgspec

from relay.history.query_text import QueryProblem
from relay.operator.admin_site import AdminRequest, Reply, json_reply
from relay.operator.refusal import Refusal
from relay.store.store_values import StoreUnavailable

_REASON_CHARACTERS: Final = 200


class Done(msgspec.Struct, frozen=True):
    """The answer to an action: a sentence, how many things it concerned, and how many it skipped.

    :ivar route: as `Purged.route`.
    """

    done: str
    count: int = 1
    passed_over: int = 0
    route: str = ""


class _Reason(msgspec.Struct, frozen=True):
    reason: str = ""


async def answered(doing: Awaitable[object]) -> Reply:
    """Awaits an action, and makes the answer of its result, or of why it was refused."""
    try:
        return json_reply(await doing)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        return json_reply({"error": str(problem)}, 422)
    except Refusal as problem:
        return json_reply({"error": str(problem)}, problem.status)
    except StoreUnavailable as problem:
        return json_reply({"error": f"it can't be recorded: {problem.reason}"}, 503)


async def answered_search(searching: Awaitable[object]) -> Reply:
    """Awaits a search, and makes the answer of what it found, or of what is wrong with its parameters."""
    try:
        return json_reply(await searching)
    except QueryProblem as problem:
        return json_reply({"error": str(problem)}, 422)
    except StoreUnavailable as problem:
        return json_reply({"error": problem.reason}, 503)


def reason_of(request: AdminRequest) -> str:
    """The reason that a request gives for an action."""
    return msgspec.json.decode(request.body or b"{}", type=_Reason).reason[:_REASON_CHARACTERS]
