"""Every parameter of Kannel's and Jasmin's HTTP interfaces, with the odd values that their parsers accept."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from relay.config.account_config import Account, PriceTable, Quota
from relay.smpp.message_codec import decode_message, find_tlv
from relay.values.charge import AccountUse
from relay.values.ids import id_text
from relay.values.messages import Refused, source_of
from relay.values.pdus import MessagePdu
from relay.values.secret import Secret
from relay.values.smpp_constants import SUBMIT_SM
from tests.http.http_driver import KEY, HttpDriver, Reply

LOGIN = {"username": "acme", "password": KEY}
KANNEL = LOGIN | {"from": "RELAY", "to": "447700900123", "text": "Hello"}
JASMIN = LOGIN | {"from": "RELAY", "to": "447700900123", "content": "Hello"}
PORTS = b"\x06\x05\x04\x15\x82\x00\x00"


#: What callers write by mistake, or by habit.
ODD_VALUES = [
    *(
        b"",
        b"0",
        b"-1",
        b"-2",
        b"1",
        b"2",
        b"4",
        b"64",
        b"66",
        b"256",
        b"10.5",
        b"0x10",
        b"+1",
        b" 1",
        b"9" * 30,
        b"abc",
    ),
    *(
        b"\xff\xfe",
        b"\x00",
        "Привет".encode(),
        b"\xd8\x00",
        b"x" * 400,
        PORTS,
        PORTS + b"x" * 134,
        b"\x8b" + b"x" * 139,
    ),
    *(
        b"http://",
        b"http://a.example/#x",
        b"yes",
        b"utf-16",
        b"000000000100000R",
        b"[[5121,null,null,1]]",
        b"{}",
        b"[]",
    ),
]
KANNEL_NAMES = {
    *(
        "to",
        "from",
        "text",
        "charset",
        "coding",
        "udh",
        "mclass",
        "mwi",
        "pid",
        "rpi",
        "alt-dcs",
        "compress",
        "priority",
    ),
    *("validity", "deferred", "dlr-mask", "dlr-url", "smsc", "account", "binfo", "meta-data"),
}
JASMIN_NAMES = {
    *("to", "from", "content", "hex-content", "coding", "priority", "sdt", "validity-period", "tags", "custom_tlvs"),
    *("dlr", "dlr-url", "dlr-level", "dlr-method"),
}


def multipart_form(fields: Mapping[str, str | bytes]) -> tuple[str, bytes]:
    """A Content-Type and a body, as curl -F and FormData write them."""
    body = b""
    for name, value in fields.items():
        octets = value.encode() if isinstance(value, str) else value
        body += b'--b0\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), octets)
    return "multipart/form-data; boundary=b0", body + b"--b0--\r\n"


class GatewayTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.http = HttpDriver({"acme": Account(api_key=Secret(KEY))}, kannel=True, jasmin=True)
        self.flow = self.http.flow

    def pdus(self) -> list[MessagePdu]:
        """The parts of the last message."""
        return [decode_message(SUBMIT_SM, 0, part) for part in self.flow.accepted[-1].parts]

    def pdu(self) -> MessagePdu:
        return self.pdus()[-1]

    def validity_seconds(self) -> float:
        message = self.flow.accepted[-1]
        return message.expires_at - (message.scheduled_at or message.accepted_at)

    def scheduled_seconds(self) -> float:
        """How long the message waits for its time."""
        message = self.flow.accepted[-1]
        return message.scheduled_at - message.accepted_at if message.scheduled_at else 0.0


class KannelParameterTests(GatewayTestCase):
    def send(self, **fields: Any) -> Reply:
        query = urlencode({name: value for name, value in (KANNEL | fields).items() if value is not None})
        return self.http.ask("GET", "/cgi-bin/sendsms?" + query, login=None)

    def assertTaken(self, reply: Reply) -> None:
        self.assertEqual((reply.status, reply.body), (202, b"0: Accepted for delivery"))

    def test_numbers_that_are_empty_or_no_numbers_count_as_not_given(self) -> None:
        names = ("dlr-mask", "mclass", "mwi", "pid", "rpi", "alt-dcs", "coding", "compress", "validity", "deferred")
        for name in (*names, "priority"):
            for value in ("", "-1", "abc", " "):
                self.assertTaken(self.send(**{name: value}))
        self.assertEqual(len({message.parts for message in self.flow.accepted}), 1)

    def test_a_number_ends_where_its_digits_end(self) -> None:
        self.send(pid="64.9x")
        self.assertEqual(self.pdu().protocol_id, 64)

    def test_a_validity_out_of_bounds_is_brought_into_them(self) -> None:
        for minutes, seconds in (("0", 60.0), ("43200", 604_800.0), ("9" * 40, 604_800.0)):
            self.assertTaken(self.send(validity=minutes))
            self.assertEqual(self.validity_seconds(), seconds)

    def test_a_deferred_message_waits(self) -> None:
        for minutes, seconds in (("0", 0.0), ("10", 600.0)):
            self.assertTaken(self.send(deferred=minutes))
            self.assertEqual((self.scheduled_seconds(), self.pdu().schedule_delivery_time), (seconds, b""))

    def test_classes_and_waiting_indications_make_the_data_coding(self) -> None:
        for fields, data_coding in (
            ({"mclass": "0"}, 0xF0),
            ({"mclass": "3", "coding": "1"}, 0xF7),
            ({"mclass": "0", "text": "Привет"}, 0x18),
            ({"mclass": "1", "mwi": "0"}, 0xD8),
            ({"mwi": "1", "text": ""}, 0xC9),
            ({"mwi": "3", "text": "Привет"}, 0xEB),
            ({"mwi": "4"}, 0xC0),
            ({"alt-dcs": "1"}, 0xF1),
            ({"alt-dcs": "1", "coding": "1"}, 0xF5),
            ({"coding": "1"}, 0x04),
        ):
            self.assertTaken(self.send(**fields))
            self.assertEqual(self.pdu().data_coding, data_coding, fields)

    def test_pid_rpi_priority_and_binfo_stand_in_their_fields_of_submit_sm(self) -> None:
        self.send(pid="64", rpi="1", priority="2", binfo="SVC", account="bill 7")
        pdu = self.pdu()
        self.assertEqual((pdu.protocol_id, pdu.esm_class, pdu.priority_flag, pdu.service_type), (64, 0x80, 2, b"SVC"))
        self.assertEqual(pdu.short_message, b"Hello")
        self.assertEqual((self.flow.accepted[0].priority, self.flow.accepted[0].reference), (2, "bill 7"))

    def test_an_empty_text_is_an_empty_message(self) -> None:
        for text in ("", None):
            self.assertTaken(self.send(text=text))
            self.assertEqual(self.pdu().short_message, b"")

    def test_a_header_and_octets_go_out_as_they_are(self) -> None:
        self.send(udh=PORTS, text=b"\x00\xff")
        pdu = self.pdu()
        self.assertEqual((pdu.esm_class, pdu.data_coding, pdu.short_message), (0x40, 4, PORTS + b"\x00\xff"))
        # As Kannel's smsbox sends the parts of a long message to the next gateway.
        part = b"\x05\x00\x03\x07\x02\x01"
        self.send(udh=part, coding="0", charset="UTF-8", text="Grüße")
        self.assertEqual((self.pdu().data_coding, self.pdu().short_message), (0, part + b"Gr\x7e\x1ee"))

    def test_octets_that_are_too_long_go_in_parts_behind_a_header_that_grows(self) -> None:
        self.send(udh=PORTS, text=b"x" * 200)
        first, second = self.pdus()
        self.assertEqual(first.short_message[:12], b"\x0b" + PORTS[1:] + b"\x00\x03\x00\x02\x01")
        self.assertEqual(second.short_message[11:12], b"\x02")
        self.assertEqual(first.short_message[12:] + second.short_message[12:], b"x" * 200)
        self.assertEqual(len(first.short_message), 140)

    def test_many_character_sets_are_read(self) -> None:
        for charset, codec in (
            ("windows-1251", "cp1251"),
            ("windows1251", "cp1251"),
            ("ISO88595", "iso8859-5"),
            ("KOI8-R", "koi8-r"),
            ("koi8r", "koi8-r"),
            ("UTF-16LE", "utf-16-le"),
            ("utf-16", "utf-16-le"),
            ("ISO-8859-5//TRANSLIT", "iso8859-5"),
            ("", "utf-8"),
        ):
            self.assertTaken(self.send(text="Привет".encode(codec), charset=charset))
        self.assertEqual(len({message.parts for message in self.flow.accepted}), 1)

    def test_halves_of_pairs_pass_as_they_are(self) -> None:
        for octets in (b"\xd8\x3d\x00A", b"\x00A\x00"):
            self.assertTaken(self.send(text=octets, coding="2"))
            self.assertEqual((self.pdu().data_coding, self.pdu().short_message), (8, octets))

    def test_a_text_of_no_named_character_set_that_is_not_utf_8_is_windows_1252(self) -> None:
        self.assertTaken(self.send(text=b"100 \x80"))
        self.assertEqual(self.pdu().short_message, b"100 \x1be")
        self.assertTaken(self.send(text=b"a\x81"))

    def test_numbers_that_can_not_be_sent_to_are_left_out_and_logged(self) -> None:
        with capturedLogs() as logged:
            self.assertTaken(self.send(to="447700900123 44x 12 447700900124"))
        self.assertEqual(len(self.flow.accepted), 2)
        self.assertEqual([event["count"] for event in logged], [2])

    def test_a_field_without_an_effect_is_logged_once(self) -> None:
        with capturedLogs() as logged:
            for smsc in ("", "north", "south"):
                self.assertTaken(self.send(smsc=smsc, **{"meta-data": "?bill?a=1" if smsc else ""}))
        self.assertEqual([event["field"] for event in logged], ["smsc", "meta-data"])

    def test_optional_parameters_in_meta_data_are_refused_with_the_reason(self) -> None:
        reply = self.send(**{"meta-data": "?smpp?dlt_entity=7"})
        self.assertEqual(reply.status, 400)
        self.assertIn(b"optional parameters of SMPP", reply.body)

    def test_settings_over_the_air_are_refused_with_the_reason(self) -> None:
        reply = self.http.ask("GET", "/cgi-bin/sendota?" + urlencode(KANNEL), login=None)
        self.assertEqual(reply.status, 400)
        self.assertIn(b"udh", reply.body)

    @given(
        st.dictionaries(st.sampled_from(sorted(KANNEL_NAMES)), st.sampled_from(ODD_VALUES)),
        st.sampled_from(["GET", "FORM", "MULTIPART", "HEADERS"]),
    )
    def test_for_any_values_the_answer_is_one_of_kannels(self, fields: dict[str, bytes], how: str) -> None:
        path = "/cgi-bin/sendsms"
        values: dict[str, str | bytes] = {**KANNEL, **fields}
        if how == "GET":
            reply = self.http.ask("GET", f"{path}?{urlencode(values)}", login=None)
        elif how == "FORM":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            reply = self.http.ask("POST", path, urlencode(values).encode(), form, login=None)
        elif how == "MULTIPART":
            kind, body = multipart_form(values)
            reply = self.http.ask("POST", path, body, {"Content-Type": kind}, login=None)
        else:
            headers = {f"X-Kannel-{name}": quote(value) for name, value in values.items() if name != "text"}
            text = values["text"]
            body = text.encode() if isinstance(text, str) else text
            reply = self.http.ask("POST", path, body, headers | {"Content-Type": "text/plain"}, login=None)
        if reply.status == 202:
            self.assertEqual(reply.body, b"0: Accepted for delivery")
            self.pdus()
        else:
            self.assertIn(reply.status, (400, 403))
            self.assertTrue(reply.body.endswith((b"rejected", b"lists.", b"sendsms")), reply.body)

    def test_the_first_of_repeated_names_counts(self) -> None:
        self.http.ask("GET", "/cgi-bin/sendsms?" + urlencode(KANNEL) + "&text=Other", login=None)
        self.assertEqual(self.pdu().short_message, b"Hello")

    def test_a_sender_with_a_plus_that_was_not_encoded_is_a_number(self) -> None:
        self.send(**{"from": " 447700900000"})
        self.assertEqual(source_of(self.flow.accepted[0].addresses), b"447700900000")


class KannelPostTests(GatewayTestCase):
    HEADERS = {"Username": "acme", "Password": KEY, "From": "RELAY", "To": "447700900123 447700900124"}

    def post(self, body: bytes, content_type: str | None, **headers: str) -> Reply:
        names = {f"X-Kannel-{name}": value for name, value in headers.items()}
        kind = {} if content_type is None else {"Content-Type": content_type}
        return self.http.ask("POST", "/cgi-bin/sendsms", body, kind | names, login=None)

    def test_headers_say_what_a_query_says(self) -> None:
        self.assertEqual(self.post("Grüße".encode(), "text/plain", **self.HEADERS).status, 202)
        self.assertEqual(self.pdu().short_message, b"Gr\x7e\x1ee")
        self.assertEqual(len(self.flow.accepted), 2)
        self.post("Grüße".encode("cp1252"), 'text/plain; charset="windows-1252"', Coding="", **self.HEADERS)
        self.assertEqual(self.pdu().short_message, b"Gr\x7e\x1ee")

    def test_octets_have_a_header_in_hexadecimal_or_percent_encoded(self) -> None:
        for written in (PORTS.hex(), "%06%05%04%15%82%00%00"):
            self.post(b"\x01\x02", "application/octet-stream", UDH=written, MClass="1", **self.HEADERS)
            self.assertEqual((self.pdu().data_coding, self.pdu().short_message), (0xF5, PORTS + b"\x01\x02"))
        self.post(b"\x01\x02", None, **self.HEADERS)
        self.assertEqual(self.pdu().data_coding, 4)

    def test_forms_are_read_too(self) -> None:
        form = urlencode(KANNEL | {"text": "Form"}).encode()
        self.assertEqual(self.post(form, "application/x-www-form-urlencoded").status, 202)
        self.assertEqual(self.pdu().short_message, b"Form")
        kind, body = multipart_form(KANNEL | {"text": "a=b&c\r\n"})
        self.assertEqual(self.post(body, kind).status, 202)
        self.assertEqual(self.pdu().short_message, b"a=b&c\r\n")

    def test_other_bodies_are_refused(self) -> None:
        form = self.post(b"Hello", "application/x-www-form-urlencoded", **self.HEADERS)
        self.assertEqual((form.status, form.body), (400, b"Invalid content-type"))
        self.assertEqual(self.post(b"<message/>", "application/xml").body, b"Invalid content-type")
        reply = self.post(b"<p>", "text/html")
        self.assertEqual((reply.status, reply.body), (415, b"Unsupported content-type, rejected"))
        self.assertEqual(self.post(b"x", "multipart/form-data").status, 400)


XML = f"""<?xml version="1.0" encoding="%s"?>
<message><submit>
 <da><number>447700900123</number><number>447700900124</number></da>
 <oa><number>RELAY</number></oa>
 <ud>Gr%%c3%%bc%%C3%%9fe+%s</ud>
 <from><username>acme</username><password>{KEY}</password><account>bill 7</account></from>
 <dcs><mclass>1</mclass><coding></coding></dcs>
 <statusrequest><dlr-mask>31</dlr-mask><dlr-url>http://a.example/dlr?a=1&amp;t=%%d</dlr-url></statusrequest>
 <vp><delay>60</delay></vp><timing><delay>10</delay></timing><pid>64</pid><priority>2</priority>
</submit></message>"""


class KannelXmlTests(GatewayTestCase):
    def post(self, body: bytes) -> Reply:
        return self.http.ask("POST", "/cgi-bin/sendsms", body, {"Content-Type": "text/xml"}, login=None)

    def test_elements_say_what_a_query_says(self) -> None:
        self.assertEqual(self.post((XML % ("ISO-8859-1", "dörfer")).encode("iso-8859-1")).status, 202)
        self.assertEqual(len(self.flow.accepted), 2)
        message, pdu = self.flow.accepted[0], self.pdu()
        self.assertEqual((pdu.short_message, pdu.data_coding, pdu.protocol_id), (b"Gr\x7e\x1ee d\x7crfer", 0xF1, 64))
        self.assertEqual((source_of(message.addresses), message.reference, message.priority), (b"RELAY", "bill 7", 2))
        self.assertEqual((self.validity_seconds(), self.scheduled_seconds()), (3600.0, 600.0))
        self.assertEqual(message.notification_url, "kannel:31:http://a.example/dlr?a=1&t=%d")

    def test_octets_are_in_hexadecimal(self) -> None:
        body = XML % ("UTF-8", "")
        body = body.replace("<ud>Gr%c3%bc%C3%9fe+</ud>", f'<ud type="binary">00 ff</ud><udh>{PORTS.hex()}</udh>')
        self.assertEqual(self.post(body.encode()).status, 202)
        self.assertEqual((self.pdu().data_coding, self.pdu().short_message), (0xF5, PORTS + b"\x00\xff"))

    def test_values_that_can_not_be_read_are_refused_with_the_reason(self) -> None:
        entities = b'<!DOCTYPE m [<!ENTITY a "b">]><message><submit><ud>&a;</ud></submit></message>'
        binary = b'<message><submit><ud type="binary">zz</ud></submit></message>'
        for body, words in (
            (b"", "The XML can't be read, rejected"),
            (b"<message>", "The XML can't be read, rejected"),
            (b'<?xml version="1.0" encoding="klingon"?><a/>', "The XML can't be read, rejected"),
            (entities, "XML with a document type is not read, rejected"),
            (binary, "The ud of type binary is not in hexadecimal, rejected"),
        ):
            reply = self.post(body)
            self.assertEqual((reply.status, reply.body.decode()), (400, words))
        self.assertEqual(self.post(b"<message><submit/></message>").body, b"Authorization failed for sendsms")


class JasminParameterTests(GatewayTestCase):
    def send(self, **fields: Any) -> Reply:
        query = urlencode({name: value for name, value in (JASMIN | fields).items() if value is not None})
        return self.http.ask("GET", "/send?" + query, login=None)

    def test_a_message_without_a_sender_goes_without_a_source_address(self) -> None:
        for sender in (None, ""):
            self.assertEqual(self.send(**{"from": sender}).status, 200)
            self.assertEqual(source_of(self.flow.accepted[-1].addresses), b"")
            self.assertEqual(self.pdu().short_message, b"Hello")

    def test_empty_values_count_as_absent(self) -> None:
        names = ("coding", "priority", "sdt", "validity-period", "tags", "dlr", "dlr-url", "dlr-level", "dlr-method")
        for name in (*names, "custom_tlvs", "colour"):
            self.assertEqual(self.send(**{name: ""}).status, 200, name)

    def test_a_validity_out_of_bounds_is_brought_into_them(self) -> None:
        for minutes, seconds in (("0", 60.0), ("43200", 604_800.0), ("999999999", 604_800.0)):
            self.assertEqual(self.send(**{"validity-period": minutes}).status, 200)
            self.assertEqual(self.validity_seconds(), seconds)

    def test_octets_of_every_coding_reach_the_carrier(self) -> None:
        for coding in (2, 4, 5, 6, 7, 9, 10, 13, 14):
            self.assertEqual(self.send(content=None, coding=coding, **{"hex-content": "00ff"}).status, 200)
            self.assertEqual((self.pdu().data_coding, self.pdu().short_message), (coding, b"\x00\xff"))
        self.send(content=b"x" * 300, coding=4)
        self.assertEqual([len(pdu.short_message) for pdu in self.pdus()], [140, 140, 38])

    def test_an_empty_content_is_an_empty_message(self) -> None:
        for fields in ({"content": ""}, {"content": None, "hex-content": ""}):
            self.assertEqual(self.send(**fields).status, 200)
            self.assertEqual(self.pdu().short_message, b"")

    def test_a_message_waits_for_its_time_to_send_at_and_a_time_past_is_now(self) -> None:
        for time, seconds in (("231114222320000 ", 600.0), ("000000001000000R", 600.0), ("200101000000000+", 0.0)):
            self.assertEqual(self.send(sdt=time).status, 200)
            self.assertEqual((self.scheduled_seconds(), self.pdu().schedule_delivery_time), (seconds, b""))

    def test_vendors_optional_parameters_reach_the_carrier_in_each_form(self) -> None:
        for written, value in (
            ('[[5121, null, "COctetString", "abc"]]', b"abc\0"),
            ('[["0x1401", 2, "Int2", 258]]', b"\x01\x02"),
            ('{"0x1401:Int1": 7}', b"\x07"),
            ('{"0x1401": "abc"}', b"abc"),
            ('[{"tag": "0x1401", "value": "abc"}]', b"abc"),
        ):
            self.assertEqual(self.send(custom_tlvs=written).status, 200, written)
            self.assertEqual(find_tlv(self.pdu().body, self.pdu().tlvs_at, 0x1401), value)

    def test_json_may_hold_nulls_numbers_texts_and_optional_parameters(self) -> None:
        headers = {"Content-Type": "application/json"}
        fields = JASMIN | {"from": None, "coding": 8, "content": "Привет", "priority": 1}
        body = fields | {"custom_tlvs": [[5121, None, "OctetString", "x"]]}
        self.assertEqual(self.http.ask("POST", "/send", body, headers, login=None).status, 200)
        self.assertEqual(self.pdu().short_message, "Привет".encode("utf-16-be"))
        for value in ([1], True, {"a": 1}, "9" * 5000):
            reply = self.http.ask("POST", "/send", JASMIN | {"coding": value}, headers, login=None)
            self.assertEqual(reply.status, 400)

    def test_tags_become_the_reference(self) -> None:
        self.send(tags="bill-7,north")
        self.assertEqual(self.flow.accepted[0].reference, "bill-7,north")
        reply = self.send(tags="a b")
        self.assertEqual((reply.status, reply.body), (400, b'Error "Argument [tags] has an invalid value: [a b]."'))

    @given(
        st.dictionaries(st.sampled_from(sorted(JASMIN_NAMES)), st.sampled_from(ODD_VALUES)),
        st.sampled_from(["GET", "FORM", "MULTIPART", "JSON"]),
    )
    def test_for_any_values_the_answer_is_one_of_jasmins(self, fields: dict[str, bytes], how: str) -> None:
        values: dict[str, str | bytes] = {**JASMIN, **fields}
        if how == "GET":
            reply = self.http.ask("GET", "/send?" + urlencode(values), login=None)
        elif how == "FORM":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            reply = self.http.ask("POST", "/send", urlencode(values).encode(), form, login=None)
        elif how == "MULTIPART":
            kind, body = multipart_form(values)
            reply = self.http.ask("POST", "/send", body, {"Content-Type": kind}, login=None)
        else:
            texts = {
                name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in values.items()
            }
            reply = self.http.ask("POST", "/send", texts, {"Content-Type": "application/json"}, login=None)
        if reply.status == 200:
            self.assertTrue(reply.body.startswith(b'Success "'))
            self.pdus()
        else:
            self.assertIn(reply.status, (400, 403))
            self.assertTrue(reply.body.startswith(b'Error "'), reply.body)

    def test_a_multipart_form_replaces_what_the_query_says(self) -> None:
        kind, body = multipart_form({"content": "Form"})
        path = "/send?" + urlencode(JASMIN)
        self.assertEqual(self.http.ask("POST", path, body, {"Content-Type": kind}, login=None).status, 200)
        self.assertEqual(self.pdu().short_message, b"Form")


class JasminCallTests(GatewayTestCase):
    def ask(self, path: str, **fields: str) -> tuple[int, Any]:
        reply = self.http.ask("GET", f"{path}?{urlencode(fields)}", login=None)
        return reply.status, reply.json

    def test_ping_needs_no_login(self) -> None:
        self.assertEqual(self.http.ask("GET", "/ping", login=None).body, b"Jasmin/PONG")

    def test_a_balance_is_unlimited(self) -> None:
        self.assertEqual(self.ask("/balance", **LOGIN), (200, {"balance": "ND", "sms_count": "ND"}))
        wrong = self.ask("/balance", username="acme", password="wrong")
        self.assertEqual(wrong, (403, "Authentication failure for username:acme"))
        self.assertEqual(self.ask("/balance", username="acme"), (400, "Mandatory argument [password] is not found."))

    def test_a_rate_counts_the_parts_and_sends_nothing(self) -> None:
        long = self.ask("/rate", **JASMIN | {"content": "x" * 161})
        self.assertEqual(long, (200, {"unit_rate": 0.0, "submit_sm_count": 2}))
        self.assertEqual(self.ask("/rate", to="447700900123", **LOGIN)[1]["submit_sm_count"], 1)
        self.assertEqual(self.ask("/rate", **JASMIN | {"dlr": "yes"}), (400, "Argument [dlr] is unknown."))
        self.assertEqual(self.flow.accepted, [])

    def test_a_prepaid_account_hears_its_balance_its_quota_s_rest_and_the_price(self) -> None:
        account = Account(prices="retail", prepaid=True, quota=Quota(monthly=10))
        table = PriceTable(currency="EUR", by_prefix={"44": "0.035"})
        self.flow.charging.replace({"acme": account}, {"retail": table})
        today = self.flow.charging.day("acme", self.http.clock.seconds())
        self.flow.store.use = AccountUse(today, 3, 3, {"EUR": 120_500})
        for path in ("/balance?" + urlencode(LOGIN), "/secure/balance"):
            self.assertIn(b'"balance":0.1205,"sms_count":7', self.http.ask("GET", path).body)
        long = self.ask("/rate", **JASMIN | {"content": "x" * 161})
        self.assertEqual(long, (200, {"unit_rate": 0.035, "submit_sm_count": 2}))
        self.assertEqual(self.ask("/rate", to="33123456", **LOGIN), (412, "No price for this number"))
        for kind, status, said in (
            ("no-credit", 403, 'Error "Cannot charge submit_sm, the balance is too low"'),
            ("quota-exceeded", 403, 'Error "User quota exceeded"'),
            ("no-price", 412, 'Error "No price for this number"'),
        ):
            self.flow.refusal = Refused(0, "", "", kind=kind)
            reply = self.http.ask("GET", "/send?" + urlencode(JASMIN), login=None)
            self.assertEqual((reply.status, reply.body.decode()), (status, said))

    def test_the_rest_api_sends(self) -> None:
        body = {"to": 447700900123, "content": "Hello", "dlr_url": "http://a.example/dlr", "dlr_level": 2}
        reply = self.http.ask("POST", "/secure/send", body)
        self.assertEqual((reply.status, reply.json), (200, {"data": f'Success "{id_text(self.flow.accepted[0].id)}'}))
        self.assertEqual(self.flow.accepted[0].notification_url, "jasmin:2:POST:http://a.example/dlr")
        self.assertEqual(self.flow.dispatched, self.flow.accepted)
        reply = self.http.ask("POST", "/secure/send", {"to": "447700900123"})
        self.assertEqual((reply.status, reply.json), (400, {"message": 'Error "content or hex-content not present.'}))
        self.assertEqual(self.http.ask("POST", "/secure/send", body, login=None).status, 401)

    def test_a_batch_is_refused_with_the_reason(self) -> None:
        reply = self.http.ask("POST", "/secure/sendbatch", {"messages": []})
        self.assertEqual(reply.status, 400)
        self.assertIn("POST /messages", reply.json["message"])

    def test_the_rest_api_tells_balance_and_rate(self) -> None:
        self.assertEqual(self.http.ask("GET", "/secure/balance").json["data"]["balance"], "ND")
        rate = self.http.ask("GET", "/secure/rate?to=447700900123&hex_content=00&coding=4").json
        self.assertEqual(rate, {"data": {"unit_rate": 0.0, "submit_sm_count": 1}})


class MultipartTests(GatewayTestCase):
    def test_a_message_may_come_as_a_multipart_form(self) -> None:
        kind, body = multipart_form({"to": "447700900123", "from": "RELAY", "text": "Grüße", "reference": ""})
        self.assertEqual(self.http.ask("POST", "/messages", body, {"Content-Type": kind}).status, 202)
        self.assertEqual(self.pdu().short_message, b"Gr\x7e\x1ee")

    def test_a_broken_multipart_form_is_refused_with_the_reason(self) -> None:
        kind, body = multipart_form({"to": "447700900123"})
        for content_type, octets, words in (
            ("multipart/form-data", body, "needs a boundary"),
            (kind, body[:-8], "does not end with its boundary"),
            (kind, b"--b0\r\nX: y\r\n\r\nz\r\n--b0--", "no Content-Disposition"),
            (kind, body.replace(b"447", b"\xff"), "not UTF-8"),
        ):
            reply = self.http.ask("POST", "/messages", octets, {"Content-Type": content_type})
            self.assertEqual(reply.status, 400)
            self.assertIn(words, reply.json["detail"])
