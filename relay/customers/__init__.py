"""Customers on SMPP: their binds, their messages, and the receipts that they get.

In:   PDUs from customers' sessions; wake-ups for the notification queues of the SMPP channel.
Out:  submissions for the message flow; responses; deliver_sm with receipts.
Read: `smpp_sessions.py` first. `bind_guard` limits how often an address may fail to bind.
"""
