"""What the types of several tables of the configuration share."""

from typing import Annotated

from msgspec import Meta


def about(description: str) -> Meta:
    """Says what a key means, for the reference of the configuration and the sample file."""
    return Meta(description=description)


LISTEN = about("Twisted server endpoints; with TLS: `ssl:PORT:privateKey=FILE:certKey=FILE`.")

Seconds = Annotated[float, Meta(ge=0)]
