"""Carriers: their connections, queues and windows, and what their responses and receipts mean.

In:   parts to send; octets from carriers.
Out:  submitted parts, receipts, ends, for the flow; reports for the operator.
Read: `link.py` first. One link a carrier. It talks to sessions over SMPP, or to another relay over HTTP. `queries`
    asks carriers about overdue messages; `draining` ends removed carriers.
"""
