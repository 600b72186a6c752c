"""The tests, in the same packages as relay/.

This module sets what all tests share, however they are started: their environment, how long they wait, and how
Hypothesis runs.
"""

import os

from hypothesis import HealthCheck, settings
from twisted.trial import util

#: A test that has waited for so long hangs. The number only ends it: no test says with it how fast something is, for
#: the machine may be busy with anything else.
HUNG_SECONDS = 600.0
#: How many times as long a test waits for an event as a quiet machine needs.
PATIENCE = 6.0

#: Variables of the caller's that change what a process does or prints which a test starts: those of make, of CI, of
#: terminals, of systemd, and those that the relay's own commands read.
_NOT_INHERITED = {
    "CI", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "FORCE_COLOR", "GNUMAKEFLAGS", "LINES", "LISTEN_FDNAMES",
    "LISTEN_FDS", "LISTEN_PID", "MAKEFILES", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MAKE_TERMERR", "MAKE_TERMOUT",
    "MFLAGS", "NOTIFY_SOCKET", "NO_COLOR", "RELAY_ADMIN_PASSWORD", "RELAY_SEND_KEY", "WATCHDOG_PID", "WATCHDOG_USEC",
}  # fmt: skip
#: Of Python's own variables only these: they say where modules are, and where their compiled form goes.
_PYTHON = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONPYCACHEPREFIX"}


#: Set where Hypothesis draws the same examples each time. trial's workers inherit it, for CI itself is taken from them.
_SAME_EXAMPLES = "RELAY_TESTS_SAME_EXAMPLES"

#: Set once it is done: a process that a test starts keeps what the test has given it.
_SETTLED = "RELAY_TESTS_SETTLED"


def _settle_environment() -> None:
    """Leaves in `os.environ`, which every process that a test starts inherits, nothing that tests could notice."""
    if _SETTLED in os.environ:
        return
    os.environ[_SETTLED] = "1"
    for name in list(os.environ):
        if name in _NOT_INHERITED or (name.startswith("PYTHON") and name not in _PYTHON) or name.startswith("LC_"):
            del os.environ[name]
    # What the tests read of programs' output is UTF-8, and in English.
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ.pop("LANGUAGE", None)
    # A proxy is for package registries; what the tests call is on loopback.
    for name in ("no_proxy", "NO_PROXY"):
        others = os.environ.get(name)
        os.environ[name] = f"{others},127.0.0.1,localhost" if others else "127.0.0.1,localhost"


def _settle_hypothesis() -> None:
    """Nothing that depends on the machine's speed fails a test; a failure prints how to have it again.

    In CI the examples are the same each time, so that no change is refused for a fault of another one. A developer's
    are new each time: those find the faults.
    """
    if "CI" in os.environ:
        os.environ[_SAME_EXAMPLES] = "1"
    basis = settings.get_profile("ci" if _SAME_EXAMPLES in os.environ else "default")
    settings.register_profile(
        "tests", basis, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
    )
    settings.load_profile("tests")


# The environment comes second, for it takes CI away.
_settle_hypothesis()
_settle_environment()
# For every test that waits for a Deferred. trial's own are two minutes.
util.DEFAULT_TIMEOUT_DURATION = HUNG_SECONDS
