"""The store: what became of every message, and the only place where anything is made durable.

In:   batches: messages accepted, ids and receipts from carriers, ends, attempts to notify.
Out:  awaitables that fire when the batch is durable; notifications to hand over; answers to queries.
Read: `api.py` first. `api` is the contract in five facets. `table` is the state machine in memory; `journal` makes
    it durable in files.
"""
