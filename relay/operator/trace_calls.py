"""Traces over the admin listener, in JSON: for `python -m relay trace`."""

from collections.abc import Sequence
from typing import Final

import msgspec

from relay.operator.action_answers import answered, reason_of
from relay.operator.actions import OperatorActions
from relay.operator.admin_site import AdminRequest, Reply, json_reply
from relay.operator.refusal import Refusal
from relay.operator.trace_lines import Kind, TraceLine, TraceView
from relay.operator.traces import TraceRequest

_LINES_AT_ONCE: Final = 2000


class TraceLines(msgspec.Struct, frozen=True):
    """Lines of a trace. `next` is the parameter `after` of the next request."""

    trace: TraceView
    lines: Sequence[TraceLine]
    next: int


class TraceCalls:
    """Begins, shows and ends traces."""

    def __init__(self, actions: OperatorActions) -> None:
        self._actions = actions

    async def get(self, request: AdminRequest) -> Reply:
        """/traces: the traces that run or are kept. /traces/NUMBER?after=LINES: a trace's lines after so many."""
        match request.path[1:]:
            case []:
                return json_reply(self._actions.traces.all)
            case [number]:
                return await answered(self._trace_lines(number, request.query.get("after", "0")))
            case _:
                return json_reply({"error": "there are /traces and /traces/NUMBER"}, 404)

    async def _trace_lines(self, number: str, after: str) -> TraceLines:
        trace = self._actions.trace_of(number)
        if not (after.isascii() and after.isdigit() and len(after) < 10):
            raise Refusal("'after' must be the 'next' of an earlier answer", 422)
        lines = trace.lines[int(after) : int(after) + _LINES_AT_ONCE]
        return TraceLines(trace.view, lines, int(after) + len(lines))

    async def post(self, request: AdminRequest) -> Reply:
        """POST /traces/NUMBER/end with {"reason": "..."}."""
        return await answered(self._on_trace(request))

    async def _on_trace(self, request: AdminRequest) -> TraceView:
        match request.path[1:]:
            case [number, "end"]:
                return await self._actions.end_trace(number, reason_of(request), request.actor)
            case _:
                raise Refusal("the action is /traces/NUMBER/end")

    async def begin(self, kind: Kind, name: str, request: AdminRequest) -> TraceView:
        """POST /carriers/NAME/trace or /accounts/NAME/trace with `TraceRequest`."""
        wanted = msgspec.json.decode(request.body or b"{}", type=TraceRequest)
        return await self._actions.trace(kind, name, wanted, request.actor)
