"""The message codec compared with smpp.pdu: same octets and same values, for every PDU that smpp.pdu accepts."""

import contextlib
import io
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from smpp.pdu import constants as names
from smpp.pdu import operations, pdu_types
from smpp.pdu.error import PDUParseError
from smpp.pdu.pdu_encoding import PDUEncoder
from smpp.pdu.smpp_time import SMPPRelativeTime
from twisted.trial.unittest import SynchronousTestCase

from relay.smpp import message_codec, other_codec
from relay.smpp.session import Role
from relay.values import smpp_constants as c
from relay.values.pdus import Answered, BindPdu, MessageIdPdu, MessagePdu
from tests.smpp.bodies import data_body
from tests.smpp.pairs import bound_session
from tests.smpp.strategies import MessageFields, frame, frames_in, message_fields, sequence_numbers

encoder = PDUEncoder()
quick = settings(max_examples=60)

strings = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(str.encode)
relative_times = st.none() | st.builds(SMPPRelativeTime, *[st.integers(0, 99)] * 6)
esm_classes = st.builds(
    pdu_types.EsmClass,
    st.sampled_from(pdu_types.EsmClassMode),
    st.sampled_from(pdu_types.EsmClassType),
    st.lists(st.sampled_from(pdu_types.EsmClassGsmFeatures), unique=True),
)
registered_deliveries = st.builds(
    pdu_types.RegisteredDelivery,
    st.sampled_from(pdu_types.RegisteredDeliveryReceipt),
    st.lists(st.sampled_from(pdu_types.RegisteredDeliverySmeOriginatedAcks), unique=True),
    st.booleans(),
)
data_codings = st.sampled_from(pdu_types.DataCodingDefault).map(
    lambda default: pdu_types.DataCoding(pdu_types.DataCodingScheme.DEFAULT, default)
)
common_params = {
    "service_type": st.sampled_from([b"", b"CMT"]),
    "source_addr_ton": st.sampled_from(pdu_types.AddrTon),
    "source_addr_npi": st.sampled_from(pdu_types.AddrNpi),
    "source_addr": strings,
    "dest_addr_ton": st.sampled_from(pdu_types.AddrTon),
    "dest_addr_npi": st.sampled_from(pdu_types.AddrNpi),
    "destination_addr": strings,
    "esm_class": esm_classes,
    "registered_delivery": registered_deliveries,
    "data_coding": data_codings,
}
message_params = {
    **common_params,
    "protocol_id": st.integers(0, 255),
    "priority_flag": st.sampled_from(pdu_types.PriorityFlag),
    "replace_if_present_flag": st.sampled_from(pdu_types.ReplaceIfPresentFlag),
    "sm_default_msg_id": st.integers(0, 254),
    "short_message": st.binary(max_size=254),
}
submits = st.builds(
    operations.SubmitSM,
    sequence_numbers,
    schedule_delivery_time=relative_times,
    validity_period=relative_times,
    user_message_reference=st.integers(0, 0xFFFF),
    **message_params,
)
delivers = st.builds(
    operations.DeliverSM,
    sequence_numbers,
    schedule_delivery_time=st.none(),
    validity_period=relative_times,
    receipted_message_id=strings,
    message_state=st.sampled_from(pdu_types.MessageState),
    **message_params,
)
datas = st.builds(operations.DataSM, sequence_numbers, message_payload=st.binary(max_size=400), **common_params)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """smpp.pdu prints while it reads a time."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def octets_of(pdu: operations.PDU, *params: str) -> bytes:
    """These parameters of a smpp.pdu PDU, as smpp.pdu writes them."""
    encoders = encoder.getRequiredParamEncoders(pdu)
    return b"".join(encoders[param].encode(pdu.params[param], name=param) for param in params)


def octet_of(pdu: operations.PDU, param: str) -> int:
    (value,) = octets_of(pdu, param)
    return value


ADDRESS_PARAMS = (
    "source_addr_ton",
    "source_addr_npi",
    "source_addr",
    "dest_addr_ton",
    "dest_addr_npi",
    "destination_addr",
)


class MessageTests(SynchronousTestCase):
    def assert_same_values(self, theirs: operations.PDU, ours: MessagePdu) -> None:
        self.assertEqual(ours.addresses, octets_of(theirs, *ADDRESS_PARAMS))
        self.assertEqual(ours.destination, theirs.params["destination_addr"] or b"")
        self.assertEqual(ours.service_type, theirs.params["service_type"] or b"")
        self.assertEqual(ours.esm_class, octet_of(theirs, "esm_class"))
        # smpp.pdu reads the five bits that 3.4 defines, and of a GSM message class what it has names for.
        self.assertEqual(ours.registered_delivery & 0x1F, octet_of(theirs, "registered_delivery"))
        data_coding = octet_of(theirs, "data_coding")
        self.assertEqual(ours.data_coding & (0xF7 if data_coding >= 0xF0 else 0xFF), data_coding)
        if "short_message" in theirs.mandatoryParams:
            self.assertEqual(ours.short_message, theirs.params["short_message"])
            self.assertEqual(ours.protocol_id, theirs.params["protocol_id"])
            self.assertEqual(ours.priority_flag, octet_of(theirs, "priority_flag"))
            self.assertEqual(ours.replace_if_present_flag, octet_of(theirs, "replace_if_present_flag"))
            self.assertEqual(ours.schedule_delivery_time == b"", theirs.params["schedule_delivery_time"] is None)
            self.assertEqual(ours.validity_period == b"", theirs.params["validity_period"] is None)
        else:
            self.assertEqual(message_codec.message_octets(ours), theirs.params.get("message_payload", b""))

    @quick
    @given(st.one_of(submits, delivers, datas))
    def test_the_codec_reads_the_same_values_as_smpp_pdu_wrote(self, theirs: operations.PDU) -> None:
        data = encoder.encode(theirs)
        ((command_id, _, sequence_number, body),) = frames_in(data)
        ours = message_codec.decode_message(command_id, sequence_number, body)
        self.assertEqual(ours.sequence_number, theirs.seqNum)
        self.assert_same_values(theirs, ours)

    @quick
    @given(st.one_of(submits, delivers))
    def test_the_same_values_make_the_same_octets(self, theirs: operations.PDU) -> None:
        ((command_id, _, sequence_number, body),) = frames_in(encoder.encode(theirs))
        tlvs = b"".join(message_codec.tlv(*pair) for pair in optional_parameters(theirs))
        ours = message_codec.message_body(
            addresses=octets_of(theirs, *ADDRESS_PARAMS),
            short_message=theirs.params["short_message"],
            esm_class=octet_of(theirs, "esm_class"),
            protocol_id=theirs.params["protocol_id"],
            priority_flag=octet_of(theirs, "priority_flag"),
            schedule_delivery_time=octets_of(theirs, "schedule_delivery_time")[:-1],
            validity_period=octets_of(theirs, "validity_period")[:-1],
            registered_delivery=octet_of(theirs, "registered_delivery"),
            replace_if_present_flag=octet_of(theirs, "replace_if_present_flag"),
            data_coding=octet_of(theirs, "data_coding"),
            sm_default_msg_id=theirs.params["sm_default_msg_id"],
            service_type=theirs.params["service_type"],
            tlvs=tlvs,
        )
        self.assertEqual(ours, body)
        self.assertEqual((command_id, sequence_number), (ours_command(theirs), theirs.seqNum))

    @quick
    @given(datas)
    def test_the_same_data_sm_makes_the_same_octets(self, theirs: operations.DataSM) -> None:
        ((_, _, _, body),) = frames_in(encoder.encode(theirs))
        ours = data_body(
            addresses=octets_of(theirs, *ADDRESS_PARAMS),
            esm_class=octet_of(theirs, "esm_class"),
            registered_delivery=octet_of(theirs, "registered_delivery"),
            data_coding=octet_of(theirs, "data_coding"),
            service_type=theirs.params["service_type"],
            tlvs=b"".join(message_codec.tlv(*pair) for pair in optional_parameters(theirs)),
        )
        self.assertEqual(ours, body)

    @settings(max_examples=200)
    @given(st.sampled_from([c.SUBMIT_SM, c.DELIVER_SM]), message_fields, st.data())
    def test_every_body_that_smpp_pdu_accepts_gives_the_same_values(
        self, command_id: int, fields: MessageFields, data: st.DataObject
    ) -> None:
        fields["tlvs"] = b""
        for name in ("priority_flag", "replace_if_present_flag", "esm_class", "registered_delivery"):
            fields[name] &= data.draw(st.sampled_from([0, 1, 3, 0xFF]), label=name)
        known = message_codec.encode_address(1, 1, b"12345")
        if data.draw(st.booleans()):
            fields["addresses"] = known + known
        body = message_codec.message_body(**fields)
        with silence():
            try:
                theirs = encoder.decode(io.BytesIO(frame(command_id, 5, body)))
            except (PDUParseError, ValueError):
                return
        self.assert_same_values(theirs, message_codec.decode_message(command_id, 5, body))


class ResponseTests(SynchronousTestCase):
    @quick
    @given(st.sampled_from([operations.SubmitSMResp, operations.DataSMResp]), sequence_numbers, strings)
    def test_our_responses_are_octet_for_octet_smpp_pdus(
        self, response: type, sequence_number: int, message_id: bytes
    ) -> None:
        theirs = response(sequence_number, message_id=message_id)
        command_id = ours_command(theirs)
        session = bound_session(Role.SERVER)
        session.respond(command_id, [(sequence_number, c.ESME_ROK, message_id + b"\0")])
        self.assertEqual(session.take_output(), encoder.encode(theirs))

    @quick
    @given(sequence_numbers)
    def test_our_deliver_sm_resp_is_octet_for_octet_smpp_pdus(self, sequence_number: int) -> None:
        session = bound_session(Role.CLIENT)
        session.respond(c.DELIVER_SM_RESP, [(sequence_number, c.ESME_ROK, b"\0")])
        theirs = encoder.encode(operations.DeliverSMResp(sequence_number, message_id=None))
        self.assertEqual(session.take_output(), theirs)

    @quick
    @given(st.binary(max_size=64).map(lambda raw: raw.replace(b"\0", b"")))
    def test_a_message_id_that_smpp_pdu_writes_is_the_one_that_we_read(self, message_id: bytes) -> None:
        session = bound_session(Role.CLIENT)
        session.request(c.SUBMIT_SM, [(b"", "token")], 0.0)
        ((_, _, sequence_number, _),) = frames_in(session.take_output())
        data = encoder.encode(operations.SubmitSMResp(sequence_number, message_id=message_id))
        self.assertEqual(session.receive(data, 0.0), [Answered("token", c.SUBMIT_SM_RESP, c.ESME_ROK, message_id)])

    def test_an_error_response_that_smpp_pdu_writes_without_a_body_is_read(self) -> None:
        session = bound_session(Role.CLIENT)
        session.request(c.SUBMIT_SM, [(b"", "token")], 0.0)
        ((_, _, sequence_number, _),) = frames_in(session.take_output())
        data = encoder.encode(operations.SubmitSMResp(sequence_number, status=pdu_types.CommandStatus.ESME_RTHROTTLED))
        self.assertEqual(session.receive(data, 0.0), [Answered("token", c.SUBMIT_SM_RESP, c.ESME_RTHROTTLED, b"")])


class ColdTests(SynchronousTestCase):
    @quick
    @given(
        st.sampled_from([operations.BindTransceiver, operations.BindReceiver, operations.BindTransmitter]),
        strings.map(lambda s: s[:15]),
        strings.map(lambda s: s[:8]),
        strings.map(lambda s: s[:12]),
        st.integers(0x33, 0x50),
    )
    def test_binds_are_smpp_pdus_both_ways(
        self, bind: type, system_id: bytes, password: bytes, system_type: bytes, version: int
    ) -> None:
        theirs = bind(
            1,
            system_id=system_id,
            password=password,
            system_type=system_type,
            interface_version=version,
            addr_ton=pdu_types.AddrTon.UNKNOWN,
            addr_npi=pdu_types.AddrNpi.UNKNOWN,
            address_range=b"",
        )
        ((command_id, _, _, body),) = frames_in(encoder.encode(theirs))
        ours = other_codec.bind_body(
            command_id,
            system_id.decode(),
            password.decode(),
            system_type=system_type.decode(),
            interface_version=version,
        )
        self.assertEqual(ours, body)
        read = other_codec.decode_request(command_id, 1, body)
        assert isinstance(read, BindPdu)
        self.assertEqual(
            (read.system_id.encode(), read.password.encode(), read.system_type.encode(), read.interface_version),
            (system_id, password, system_type, version),
        )

    @quick
    @given(strings, st.sampled_from(pdu_types.MessageState), st.integers(0, 255))
    def test_a_query_sm_resp_is_smpp_pdus(self, message_id: bytes, state: pdu_types.MessageState, error: int) -> None:
        theirs = operations.QuerySMResp(
            1, message_id=message_id, final_date=None, message_state=state, error_code=error
        )
        ((_, _, _, body),) = frames_in(encoder.encode(theirs))
        number = names.message_state_name_map[state.name]
        self.assertEqual(other_codec.query_sm_resp_body(message_id, b"", number, error), body)
        self.assertEqual(other_codec.decode_query_sm_resp(body), (message_id, b"", number, error))

    @quick
    @given(strings, strings)
    def test_cancel_sm_and_query_sm_are_smpp_pdus(self, message_id: bytes, source: bytes) -> None:
        unknown = {
            "source_addr_ton": pdu_types.AddrTon.INTERNATIONAL,
            "source_addr_npi": pdu_types.AddrNpi.ISDN,
            "source_addr": source,
        }
        query = encoder.encodeBody(operations.QuerySM(1, message_id=message_id, **unknown))
        self.assertEqual(other_codec.query_sm_body(message_id, 1, 1, source), query)
        destination = {
            "dest_addr_ton": pdu_types.AddrTon.INTERNATIONAL,
            "dest_addr_npi": pdu_types.AddrNpi.ISDN,
            "destination_addr": b"447700900456",
        }
        cancel = encoder.encodeBody(
            operations.CancelSM(1, service_type=b"", message_id=message_id, **unknown, **destination)
        )
        addresses = message_codec.encode_address(1, 1, source) + message_codec.encode_address(1, 1, b"447700900456")
        self.assertEqual(other_codec.cancel_sm_body(message_id, addresses), cancel)
        read = other_codec.decode_request(c.CANCEL_SM, 1, cancel)
        assert isinstance(read, MessageIdPdu)
        self.assertEqual((read.message_id, read.source, read.destination), (message_id, source, b"447700900456"))


def optional_parameters(pdu: operations.PDU) -> list[tuple[int, bytes]]:
    """A PDU's optional parameters, in the order in which smpp.pdu writes them."""
    found = []
    for name in pdu.optionalParams:
        if name in pdu.params:
            tag = getattr(pdu_types.Tag, name)
            written = encoder.optionEncoder.encode(pdu_types.Option(tag, pdu.params[name]))
            found.append((names.tag_name_map[name], written[4:]))
    return found


def ours_command(pdu: operations.PDU) -> int:
    command_id: int = names.command_id_name_map[pdu.commandId.name]
    return command_id
