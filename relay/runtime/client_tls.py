"""TLS connections to others, with the operator's files: the authorities to trust, and our own certificate.

The other side's certificate is always verified, against the system's authorities or `ca_file`, and for the host's name.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from OpenSSL import crypto
from twisted.internet import ssl
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

_CERTIFICATE_BEGINS = b"-----BEGIN CERTIFICATE-----"
_CERTIFICATE_ENDS = b"-----END CERTIFICATE-----"


class TlsProblem(ValueError):
    """A certificate, key or description can't be used. The text names the file, and says what to do."""


@implementer(IStreamClientEndpoint)
class ClientTlsEndpoint:
    """Connects with TLS on top of another endpoint. It reads the files at each connect, so that it uses new ones.

    :param host: the name that the other side's certificate must have, in ASCII.
    :param ca_file: the authorities to trust; "": the system's.
    :param certificate_file: our own certificate and its chain; "": none. `key_file` is its key.
    """

    def __init__(self, below: Any, host: str, ca_file: str, certificate_file: str, key_file: str) -> None:
        self._below = below
        self._host = host
        self._files = (ca_file, certificate_file, key_file)

    def check(self) -> None:
        """Checks that the files can be used.

        :raises TlsProblem, OSError: a file can't be used.
        """
        client_tls_options(self._host, *self._files)

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        try:
            endpoint: Any = wrapClientTLS(client_tls_options(self._host, *self._files), self._below)
        except (TlsProblem, OSError) as problem:
            return fail(problem)
        connecting: Deferred[IProtocol] = endpoint.connect(protocolFactory)
        return connecting


def client_tls_options(host: str, ca_file: str, certificate_file: str, key_file: str) -> Any:
    """Makes the options for `wrapClientTLS`. The parameters are those of `ClientTlsEndpoint`.

    :raises TlsProblem: a file can't be used, or the key isn't that of the certificate.
    :raises OSError: a file can't be read.
    """
    trusted = None
    if ca_file:
        trusted = ssl.trustRootFromCertificates([ssl.Certificate(found) for found in read_certificates(ca_file)])
    extra: dict[str, Any] = {"raiseMinimumTo": ssl.TLSVersion.TLSv1_2}
    if not certificate_file:
        return ssl.optionsForClientTLS(host, trustRoot=trusted, extraCertificateOptions=extra)
    certificate, *chain = read_certificates(certificate_file)
    key = ssl.KeyPair(read_key(key_file))
    if chain:
        extra["extraCertChain"] = chain
    try:
        ours = ssl.PrivateCertificate.fromCertificateAndKeyPair(ssl.Certificate(certificate), key)
    except VerifyError as problem:
        raise TlsProblem(f"{key_file} is not the key of {certificate_file}'s first certificate") from problem
    return ssl.optionsForClientTLS(host, trustRoot=trusted, clientCertificate=ours, extraCertificateOptions=extra)


def check_key_permissions(key_file: str) -> None:
    """Checks that only its owner and its group may read a key.

    :raises TlsProblem: others may read it. The text says what to do.
    :raises OSError: the file doesn't exist, or can't be examined.
    """
    mode = stat.S_IMODE(os.stat(key_file).st_mode)
    if mode & 0o007:
        raise TlsProblem(f"other users may read {key_file} (mode {mode:04o}): chmod o-rwx {key_file}")


def read_key(key_file: str) -> crypto.PKey:
    """Reads the private key in a PEM file.

    :raises TlsProblem: the file has no such key, or other users may read it.
    :raises OSError: the file can't be read.
    """
    check_key_permissions(key_file)
    try:
        return crypto.load_privatekey(crypto.FILETYPE_PEM, Path(key_file).read_bytes(), _no_passphrase)
    except (crypto.Error, ValueError, TypeError) as problem:
        raise TlsProblem(f"{key_file} has no private key in PEM form, or its key has a passphrase") from problem


def _no_passphrase(*_: object) -> bytes:
    # Without this, OpenSSL would ask for a passphrase on the terminal.
    return b""


def read_certificates(certificate_file: str) -> list[crypto.X509]:
    """Reads the certificates in a PEM file, in their order. There is at least one.

    :raises TlsProblem: the file has no certificate that can be read.
    :raises OSError: the file can't be read.
    """
    try:
        found = [
            crypto.load_certificate(crypto.FILETYPE_PEM, block)
            for block in _pem_blocks(Path(certificate_file).read_bytes())
        ]
    except (crypto.Error, ValueError) as problem:
        raise TlsProblem(f"{certificate_file} has a certificate that can't be read") from problem
    if not found:
        raise TlsProblem(f"{certificate_file} has no certificate in PEM form")
    return found


def _pem_blocks(octets: bytes) -> Iterator[bytes]:
    start = octets.find(_CERTIFICATE_BEGINS)
    while start >= 0:
        end = octets.find(_CERTIFICATE_ENDS, start)
        if end < 0:
            raise ValueError("a certificate has no end")
        end += len(_CERTIFICATE_ENDS)
        yield octets[start:end] + b"\n"
        start = octets.find(_CERTIFICATE_BEGINS, end)
