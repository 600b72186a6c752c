"""The way of a message through the relay: which carrier takes it, and who hears of its state.

In:   submissions from customers; ids, receipts and ends from carriers.
Out:  parts for carriers; wake-ups for whoever notifies customers.
Read: `flow.py` first. `flow_api` declares what the flow needs of carriers and of those who notify. `routes` finds
    the carriers for a message, `explanation` says why.
"""
