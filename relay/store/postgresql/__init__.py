"""The journal's log as rows of a PostgreSQL database, so that the state outlives the machine.

In: the octets of each commit of the journal. Out: rows that are on a database server and its synchronous standby, and
that only the owner of the shard can add. Read `log_schema` first: it has the tables, and says what fences off a relay
that has lost its shard.
"""
