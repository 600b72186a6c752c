"""Files for connections over TLS, as the configuration names them."""

from typing import Annotated

from relay.config.config_struct import ConfigStruct
from relay.config.setting_types import about


class TlsFiles(ConfigStruct, frozen=True):
    """Files for connections over TLS."""

    ca_file: Annotated[str, about("CA certificates; empty = the system's.")] = ""
    certificate_file: Annotated[str, about("Our client certificate.")] = ""
    key_file: Annotated[str, about("Its key; must not be readable by others.")] = ""


class CarrierTls(TlsFiles, frozen=True):
    """Files for SMPP over TLS. The relay always verifies the carrier's certificate."""


class NotificationTls(TlsFiles, frozen=True):
    """Files for webhooks over TLS. The relay always verifies the receiver's certificate."""
