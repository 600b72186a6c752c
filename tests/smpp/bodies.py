"""Bodies of PDUs that only peers send."""


def data_body(
    *,
    addresses: bytes,
    esm_class: int = 0,
    registered_delivery: int = 0,
    data_coding: int = 0,
    service_type: bytes = b"",
    tlvs: bytes = b"",
) -> bytes:
    """The body of a data_sm; parameters as in `message_body`, the text being a message_payload in `tlvs`.

    :raises ValueError: a number is no octet.
    """
    return b"%b\0%b%b%b" % (service_type, addresses, bytes((esm_class, registered_delivery, data_coding)), tlvs)
