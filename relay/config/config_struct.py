"""The base of all types of the configuration."""

import msgspec


class ConfigStruct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: immutable, with a type for each key. Other keys are errors."""
