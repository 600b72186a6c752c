"""Which pages the admin listener has, and what each of them says."""

from collections.abc import Sequence
from typing import Any
from typing import Protocol as Seam

from twisted.internet.interfaces import IProtocolFactory

from relay.edges.admin_site import AdminRequest, AdminRoot, Page, Reply, admin_factory, json_reply, text_reply
from relay.services.health import Watched, readiness
from relay.services.metrics import CONTENT_TYPE, Measured, Metrics


class Administered(Watched, Measured, Seam):
    """The daemon, as the admin listener sees it."""


class AdminPages:
    """The pages, for `AdminRoot`."""

    def __init__(self, daemon: Administered, metrics: Metrics) -> None:
        self._daemon = daemon
        self._metrics = metrics

    def pages(self) -> dict[tuple[str, str], Page]:
        """By method and first element of the path."""
        return {("GET", "metrics"): self.metrics, ("GET", "health"): self.health}

    def metrics(self, request: AdminRequest) -> Reply:
        """For Prometheus."""
        return Reply(200, CONTENT_TYPE, self._metrics.exposition())

    def health(self, request: AdminRequest) -> Reply:
        """/health/live: whether the process answers at all; /health/ready: whether it can do its work, and why not."""
        match request.path[1:]:
            case ["live"]:
                return text_reply("alive")
            case ["ready"]:
                state = readiness(self._daemon)
                return json_reply(state, 200 if state.ready else 503)
            case _:
                return text_reply("There are /health/live and /health/ready.", 404)


def make_admin_site(daemon: Administered, reactor: Any) -> tuple[str, Sequence[str], IProtocolFactory]:
    """What the daemon listens with for its operator: configuration key, endpoint descriptions, factory."""
    pages = AdminPages(daemon, Metrics(daemon, reactor.seconds))
    root = AdminRoot(pages.pages(), lambda: daemon.config.admin.password)
    return "admin.listen", daemon.config.admin.listen, admin_factory(root, reactor)
