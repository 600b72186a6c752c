"""The demonstration's receiver prints each notification as a line."""

import io

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from relay.simulator.demo_receiver import demo_receiver_site


class DemoReceiverTests(SynchronousTestCase):
    def post(self, body: bytes) -> tuple[bytes, list[str]]:
        out = io.StringIO()
        channel = demo_receiver_site(out).buildProtocol(None)
        assert channel is not None
        transport = StringTransport()
        channel.makeConnection(transport)
        head = b"POST /notifications HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        channel.dataReceived(head + body)
        return transport.value().split(b"\r\n")[0], out.getvalue().splitlines()

    def test_each_notification_is_printed_as_a_line(self) -> None:
        status, lines = self.post(b'{"id": "1",\n "status": "DELIVRD"}')
        self.assertEqual(status, b"HTTP/1.1 204 No Content")
        self.assertEqual(lines, ['notification: {"id":"1","status":"DELIVRD"}'])

    def test_a_batch_is_as_many_lines_as_it_has_notifications(self) -> None:
        _, lines = self.post(b'[{"id": "1"}, {"id": "2"}]')
        self.assertEqual(lines, ['notification: {"id":"1"}', 'notification: {"id":"2"}'])

    def test_anything_else_is_printed_as_it_is(self) -> None:
        _, lines = self.post(b"id=1&status=\xff\x1b[31m")
        self.assertEqual(lines, [r"notification: 'id=1&status=�\x1b[31m'"])
