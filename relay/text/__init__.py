"""Turns the text of a message into the bodies of submit_sm, and back.

In:   a text, a sender and a number; or the octets of a part.
Out:  addresses and one submit_sm body a part, or a refusal that names the field.
Read: `compose.py` first. `passthrough` keeps the octets of parts that must not change.
"""
