"""A simulated carrier: an SMPP server that takes messages and sends receipts.

In:   SMPP connections; the settings of a simulated carrier.
Out:  responses and receipts in the words of a chosen dialect.
Read: `simulated_carrier.py` first. `decisions` says what happens to a message, without Twisted. `demo_receiver`
    prints the notifications of the demonstration.
"""
