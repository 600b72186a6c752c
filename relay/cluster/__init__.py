"""Who owns the state of a cluster: one relay works, the others stand by and take over.

In:   the owner and the sign of life in the database's tables; this machine's clock, which nobody can set.
Out:  whether this relay may work now (`LeaseGate`), and the epoch under which it writes.
Read: `lease.py` first: the rules, without a database and without threads. `cluster_database` has the statements, and
    `ownership` runs both. `cluster_config` says which node has an older configuration file.
"""
