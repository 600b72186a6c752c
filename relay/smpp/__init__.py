"""SMPP 3.4: the codecs, the session, and its connection.

In:   octets from a socket and the time; requests to send.
Out:  events (PDUs, responses, binds, ends) and octets to write.
Read: `session.py` first. `session` and all modules that it imports don't use Twisted. `connection`, `server` and
    `client` connect a session with a transport. `message_codec` is the fast codec; `other_codec` uses smpp.pdu.
"""
