"""The embedded store: the table in memory, and its journal in files.

In:   calls of the store contract; the journal directory.
Out:  durable batches. A batch is one frame. One write and one fdatasync make all frames durable that came meanwhile.
Read: `journal_store.py` first. `journal_writer` writes, `recovery` reads at a start, `compaction` keeps the files
    small, `repair` repairs damaged files.
"""
