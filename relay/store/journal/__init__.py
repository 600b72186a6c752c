"""The embedded store: the table in memory, and a journal of files under it.

In:   calls of the store contract; the journal directory.
Out:  durable batches: one frame a batch, one write and one fdatasync for all that came meanwhile.
Read: `journal_store.py` first. `journal_writer` writes, `recovery` reads at a start, `compaction` keeps the files
    small, `repair` mends what was damaged.
"""
