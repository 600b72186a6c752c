"""The store: knows the state of every message. It is the only place where anything is made durable.

In:   batches of accepted messages, of ids and receipts from carriers, of ended messages, and of attempts to notify.
Out:  awaitables that fire when the batch is durable; notifications to deliver; answers to queries.
Read: `api.py` first. `api` is the contract in six facets; `store_values` has what its calls take and return. `table`
    is the state machine in memory. `journal` makes it durable in files. `postgresql` has the tables of a log in a
    database.
"""
