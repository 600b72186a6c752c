"""The table: what the store knows, in memory, as a state machine without a clock or a disk.

In:   the calls of the store, and the records of a journal that is replayed.
Out:  changes: records to write, and the results for the callers.
Read: `table.py` first. Who is asked what: `accept`, `correlation` (ids and receipts), `claims` (notifications),
    `expiry` (time), `views` (queries), `replaying` (a start).
"""
