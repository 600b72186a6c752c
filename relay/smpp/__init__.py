"""SMPP 3.4: octets and PDUs, one session, and its connection.

In:   octets from a socket and readings of a clock; requests to send.
Out:  events (PDUs, responses, binds, ends) and octets to write.
Read: `session.py` first. `session` and all that it imports know no Twisted. `connection`, `server` and `client` put
    a session on a transport. `message_codec` is the fast codec; `other_codec` uses smpp.pdu.
"""
