"""The table: the store's state in memory. It is a state machine without a clock and without a disk.

In:   the calls of the store, and the records of a journal that is replayed.
Out:  changes: records to write, and results for the callers.
Read: `table.py` first. Then `accept`, `correlation` (ids and receipts), `claims` (notifications), `expiry` (time),
    `views` (queries), `replaying` and `restoring` (a start).
"""
