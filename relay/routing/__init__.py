"""Gives each message to a carrier, and wakes the senders of notifications when its state changes.

In:   submissions from customers; carrier message ids, receipts and final states from carriers.
Out:  parts for carriers; calls that wake the senders of notifications.
Read: `flow.py` first. `flow_api` declares the interfaces of carriers and of senders of notifications. `routes` finds
    the carriers for a message, and `explanation` explains the choice.
"""
