"""Customers on SMPP: binds, what a submit_sm becomes, and receipts to bound receivers.

In:   PDUs from customers' sessions; wake-ups for the queues of SMPP receipts.
Out:  submissions for the flow; responses; deliver_sm with receipts.
Read: `smpp_sessions.py` first. `bind_guard` bounds how often an address may fail to bind.
"""
