"""Carriers: sends messages to them, and handles their responses and receipts.

In:   parts to send; octets from carriers.
Out:  submitted parts, receipts and ended messages, for the message flow; figures for the operator.
Read: `link.py` first. Each carrier has one link. The link has sessions over SMPP, or posts to another relay over HTTP.
    `queries` asks carriers about overdue messages; `draining` ends removed carriers.
"""
