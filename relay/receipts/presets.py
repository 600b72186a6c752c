"""The known dialects of carriers and gateways, by name, for `dialect: {preset: NAME}`.

Each preset names its source. A carrier may have changed since, or may write differently for different accounts. If
`python -m relay dialect` finds something else in your own receipts, believe that. Carriers whose receipts need no
settings are here, too, so that operators find them.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from relay.config.carrier_config import Dialect, IdForm


class Preset(msgspec.Struct, frozen=True):
    """One known dialect.

    :ivar title: the carrier or gateway.
    :ivar about: its peculiarities in a sentence or two, for docs/carriers.md.
    :ivar source: the source of this knowledge.
    """

    title: str
    about: str
    source: str
    dialect: Dialect = Dialect()


_HEX: Final = IdForm(base="hex")
_DECIMAL: Final = IdForm(base="decimal")
_HEX_THEN_DECIMAL: Final = Dialect(response_id=_HEX, receipt_id=_DECIMAL, tlv_id=_HEX)

PRESETS: Final[Mapping[str, Preset]] = {
    # In 2023 the hexadecimal ids were replaced by UUIDs. A UUID isn't a number and is kept unchanged, so the preset
    # fits accounts of both kinds.
    "vonage": Preset(
        "Vonage (Nexmo)",
        "Responses in hexadecimal, receipts in decimal on older accounts; UUIDs on newer ones. FAILED is a word of "
        "its own. One receipt a part.",
        "help.nexmo.com 204015803 and 215468998",
        Dialect(response_id=_HEX, receipt_id=_DECIMAL, tlv_id=_HEX, states={"FAILED": "UNDELIV"}),
    ),
    # "SMPP 3.3 and 3.4 differ such that message IDs returned from an SMPP 3.3 connection are encoded as HEX".
    "sinch-3.3": Preset(
        "Sinch (CLX, cardboardfish) with interface_version 0x33",
        "On SMPP 3.3 binds responses name messages in hexadecimal, receipts in decimal.",
        "cardboardfish.com support, What is the format of SMPP delivery receipts",
        _HEX_THEN_DECIMAL,
    ),
    "sinch": Preset(
        "Sinch (CLX, cardboardfish) with interface_version 0x34",
        "Decimal on both sides.",
        "cardboardfish.com support, What is the format of SMPP delivery receipts",
    ),
    # Kannel's own settings for ids, for operators who move a carrier over from Kannel.
    "kannel-0": Preset(
        "A carrier that Kannel has with msg-id-type = 0",
        "Decimal in responses and in receipts, with or without leading zeros.",
        "Kannel user's guide, smsc = smpp, msg-id-type",
        Dialect(response_id=_DECIMAL, receipt_id=_DECIMAL),
    ),
    "kannel-1": Preset(
        "A carrier that Kannel has with msg-id-type = 1",
        "Hexadecimal in responses, decimal in receipts.",
        "Kannel user's guide, smsc = smpp, msg-id-type",
        _HEX_THEN_DECIMAL,
    ),
    "kannel-2": Preset(
        "A carrier that Kannel has with msg-id-type = 2",
        "Decimal in responses, hexadecimal in receipts.",
        "Kannel user's guide, smsc = smpp, msg-id-type",
        Dialect(response_id=_DECIMAL, receipt_id=_HEX),
    ),
    "kannel-3": Preset(
        "A carrier that Kannel has with msg-id-type = 3",
        "Hexadecimal in responses and in receipts, with or without leading zeros.",
        "Kannel user's guide, smsc = smpp, msg-id-type",
        Dialect(response_id=_HEX, receipt_id=_HEX),
    ),
    "jasmin-1": Preset(
        "A carrier that Jasmin has with dlr_msgid 1",
        "Hexadecimal in responses, decimal in receipts.",
        "Jasmin's smppccm reference, dlr_msgid",
        _HEX_THEN_DECIMAL,
    ),
    "jasmin-2": Preset(
        "A carrier that Jasmin has with dlr_msgid 2",
        "Decimal in responses, hexadecimal in receipts.",
        "Jasmin's smppccm reference, dlr_msgid",
        Dialect(response_id=_DECIMAL, receipt_id=_HEX),
    ),
    "jasmin": Preset(
        "Jasmin as the carrier",
        "UUIDs on both sides, text and optional parameters. Leave query_sm and cancel_sm off: sessions end on them.",
        "Jasmin issues 153 and 427",
    ),
    "ksmppd": Preset(
        "Kannel's ksmppd as the carrier",
        "UUIDs on both sides; optional parameters on binds above 3.3 only. Nothing to set.",
        "ksmppd's source and issues 63 and 108",
    ),
    # Its captured pairs: receipted_message_id 18d0e03a and text 0416342074; 6aad5 and 0000436949; and so on.
    "hex-tlv-decimal-text": Preset(
        "Older message centres (Logica, Comverse, Acision and their kin)",
        "Responses and receipted_message_id in hexadecimal, the text's id in decimal with ten digits.",
        "Jasmin issues 937 and 1034, cloudhopper's parseRealWorldReceipt0, smpp.pdu's tests",
        _HEX_THEN_DECIMAL,
    ),
    # receipted_message_id 2680000bc8b215d and text 3163234653, which is 0xbc8b215d.
    "hex-low-32-bits": Preset(
        "Message centres with 60-bit ids whose text names the low 32 bits",
        "Responses and receipted_message_id in hexadecimal, the text's id is the low 32 bits in decimal.",
        "a public gateway's log of October 2017",
        Dialect(
            response_id=IdForm(base="hex", low_32_bits=True),
            receipt_id=_DECIMAL,
            tlv_id=IdForm(base="hex", low_32_bits=True),
        ),
    ),
    "bandwidth": Preset(
        "Bandwidth",
        "ACCEPTD is usually the last word: DELIVRD comes only with a handset's own receipt. Receipts up to 73 hours "
        "later; refuses registered_delivery above 1.",
        "support.bandwidth.com 360046149833",
        Dialect(accepted_is_final=True),
    ),
    "yo-uganda": Preset(
        "Yo! (Uganda)",
        "stat:0 says delivered.",
        "Vumi's test_smpp.py, override for Yo!",
        Dialect(states={"0": "DELIVRD"}),
    ),
    "mblox": Preset(
        "mBlox",
        "ACKED and BUFFRED, padded with blanks, are steps on the way.",
        "Kannel's smsc_smpp.c",
        Dialect(states={"ACKED": "ENROUTE", "BUFFRED": "ENROUTE"}),
    ),
    # Kannel devel list, 2006, msg02229: status, status time, accepted time, error, destination, origin, reserved.
    "vodafone-uk-csv": Preset(
        "Vodafone UK as of 2006",
        "Comma-separated columns and no keys: 00 is delivered, 01 not yet. The id comes as receipted_message_id only.",
        "Kannel devel list, 2006, msg02229",
        Dialect(
            columns=["stat", "done date", "submit date", "err", "", "", ""], states={"00": "DELIVRD", "01": "ENROUTE"}
        ),
    ),
    # It sends receipts as messages. The REST API's RefId has nothing to do with their ids.
    "bulkvs": Preset(
        "BulkVS",
        "Receipts come unmarked, as if a handset had sent them.",
        "a public gateway's production notes of September 2026",
        Dialect(unmarked_receipts=True),
    ),
    "cm": Preset(
        "CM.com",
        "DELIVERD with eight letters, receipts in data_sm, no sub and dlvrd, dates with 14 digits. Nothing to set.",
        "CM.com's SMPP manual",
    ),
    "infobip": Preset(
        "Infobip",
        "Intermediate states come marked as final receipts; the state decides here. Nothing to set, but bind "
        "`transceiver`: a transmitter gets no receipts.",
        "Infobip's SMPP specification",
    ),
    "melrose": Preset(
        "Melrose Labs' SMSC simulator",
        "Optional parameters only, 36 hexadecimal digits, in less than a second. Nothing to set.",
        "gosmpp issue 124",
    ),
    "gatewayapi": Preset(
        "GatewayAPI",
        "sub and dlvrd mean nothing; err is the low 12 bits of their code in decimal. Nothing to set.",
        "GatewayAPI's SMPP manual",
    ),
    # One id for all parts: only the first segment's response has one.
    "telesign": Preset(
        "Telesign",
        "err in hexadecimal; one id and one receipt for all parts of a long message: set `parts_receipted: first` "
        "beside the dialect.",
        "Telesign's SMPP manual",
    ),
    "tyntec": Preset(
        "tyntec",
        "Always a buffered receipt first, then the final one. Nothing to set.",
        "tyntec's help centre",
    ),
    "link": Preset(
        "LINK Mobility",
        "A blank after `id:`; sub and dlvrd are 000. Nothing to set, but wait ten minutes for responses: "
        "`response_timeout_seconds: 600`.",
        "LINK's SMPP guide",
    ),
    "tele2-no": Preset(
        "Tele2 Norway",
        "The number and the short code stand glued before `id:`. Nothing to set.",
        "ruby-smpp's deliver_sm.rb and smpp_test.rb",
    ),
    "openmarket": Preset(
        "OpenMarket",
        "submitdate and donedate in one word, twelve digits. Nothing to set.",
        "openmarket.com/docs, delivery receipt examples",
    ),
    "goip": Preset(
        "GoIP gateways",
        "ENROUTE comes marked as final, with dlvrd above sub. Nothing to set.",
        "somleng/sms-gateway's tests",
    ),
}
