"""From a carrier's settings to the form in which it gets messages that came over HTTP."""

from collections.abc import Mapping

from relay.config.carrier_config import SENDER_KINDS, Carrier
from relay.text.carrier_form import PLAIN_CARRIER_FORM, AddressForm, CarrierForm
from relay.text.tlv_text import read_tlvs


def wanted_form(settings: Carrier) -> CarrierForm:
    """The form that a carrier's settings ask for.

    Another relay (kind http) gets what the API takes, and a carrier of kind api gets whole texts.

    :raises ValueError: `tlvs` can't be read; the text says why.
    """
    if settings.kind == "http":
        return PLAIN_CARRIER_FORM
    if settings.kind == "api":
        # Such an API cuts long texts itself.
        return CarrierForm(long_messages="payload")
    source = AddressForm(
        _by_kind(settings.source_ton),
        _by_kind(settings.source_npi),
        settings.source_form,
        settings.country_code,
        settings.trunk_prefix,
    )
    destination = AddressForm(
        _by_kind(settings.destination_ton),
        _by_kind(settings.destination_npi),
        settings.destination_form,
        settings.country_code,
        settings.trunk_prefix,
    )
    return CarrierForm(
        settings.default_alphabet,
        settings.long_messages,
        settings.service_type,
        source,
        destination,
        read_tlvs(settings.tlvs),
    )


def _by_kind(setting: int | Mapping[str, int] | None) -> Mapping[str, int]:
    if isinstance(setting, int):
        return dict.fromkeys(SENDER_KINDS, setting)
    return setting or {}
