"""Common to all rows: where they write, how many messages they send, and which processes a usual row starts."""

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import gateways
from benchmarks.chain import CarrierProcess, carrier
from benchmarks.gateways import Gateway, RelaySetup

Say = Callable[[str], None]


@dataclasses.dataclass
class Bench:
    """What all rows share.

    :ivar scale: every row's number of messages is multiplied by this.
    :ivar directory: where journals are written; its disk is part of what is measured.
    :ivar reactor: see `gateways.REACTORS`.
    :ivar top_rate: messages a second of the SMPP row, once it was measured.
    """

    directory: Path
    scale: float
    say: Say
    sync: str = "always"
    keep: bool = False
    top_rate: float = 0.0
    profile: str = ""
    reactor: str = ""

    def count(self, messages: int) -> int:
        """A row's number of messages, at this scale."""
        return max(200, int(messages * self.scale))

    @contextlib.contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """A fresh directory for one measurement, removed afterwards unless it failed or is to be kept."""
        path = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=self.directory))
        yield path
        if not self.keep:
            shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def relay(
        self, name: str, total: int, carrier_options: dict[str, Any] | None = None, **setup: object
    ) -> Iterator[tuple[Path, Gateway, CarrierProcess]]:
        """Carrier and relay, ready to be loaded with messages numbered below `total`."""
        with self.place(name) as path, carrier(path, instants=total, **(carrier_options or {})) as upstream:
            relay_setup = RelaySetup(
                path,
                upstream.port,
                sync=self.sync,
                profile=self.profile,
                reactor=self.reactor,
                **setup,  # type: ignore[arg-type]
            )
            with gateways.relay(relay_setup) as gateway:
                yield path, gateway, upstream
