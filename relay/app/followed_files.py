"""While a relay of a cluster stands by, keeps its files of conf.d as the database has them."""

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from relay.operator.entry_requests import EditsEntries

#: How often a relay that stands by looks for changes of the files.
FOLLOW_SECONDS: Final = 2.0


async def follow_files(
    editor: EditsEntries | None, clock: IReactorTime, waiting: Awaitable[None], complete: Callable[[], bool]
) -> None:
    """Awaits `waiting`, and has the editor follow the files meanwhile. When it returns, nothing is under way any more.

    :param editor: None: the relay was started without a configuration file.
    :param complete: whether the store has all files. A relay that has just started is still reading them.
    """
    if editor is None:
        await waiting
        return
    following = LoopingCall(lambda: Deferred.fromCoroutine(editor.follow()) if complete() else None)
    following.clock = clock
    followed = following.start(FOLLOW_SECONDS, now=False)
    try:
        await waiting
    finally:
        following.stop()
    await followed
