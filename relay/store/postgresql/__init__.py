"""The journal's log as rows of a PostgreSQL database, so that the state outlives the machine.

In:   the writes of the journal; the rows that another owner has added.
Out:  rows that are on the disks of a server and of its synchronous standby, and that only the shard's owner can add.
Read: `log_schema.py` first: it has the tables, and says what fences off a relay that has lost its shard. Then
    `log_appender` (a commit without an answer), `postgresql_files` (the journal's disk) and `shard_log` (a standby).
"""
