"""The tables of a cluster's database: who owns which shard, and the log of each shard.

Theory of operation: a shard is a whole relay state, and one node owns it at a time, under an epoch. `shard` says who.
Each commit of the journal is one row of the shard's log. A segment of the journal is a table of its own, `log_0_17` for
segment 17 of shard 0, so that compaction drops a table instead of deleting rows. The octets of a segment's rows, one
after the other, are the segment's file as docs/journal.md describes it.

An owner appends with one statement (see `append_statement`). It takes a share lock on the shard's row and compares the
epoch. A take-over changes that row, so afterwards the old owner's statement adds nothing. The statement also names the
last row that the owner knows. If the database went back (a backup was restored), that row is missing, and nothing is
added. So `shard` changes only when its owner changes: what changes often stands in `lease` and `appender`, because an
update of the shard's row would wait for an append that waits for its standby, and the next append for that update.

All times in these tables are the database's, and only for people to read. No decision compares the clocks of two
machines.
"""

from typing import Final

#: It is raised when a table changes. A relay refuses a database with a newer one.
SCHEMA_VERSION: Final = 1
#: The newest journal format that the nodes may write. An operator raises it when no older node is left.
FORMAT_LEVEL: Final = 5

#: The types of the parameters of `append_statement`, as PostgreSQL numbers them: bigint is 20, bytea is 17.
APPEND_TYPES: Final = (20, 20, 17, 17, 20, 17)
#: The same for `put_back_statement`.
PUT_BACK_TYPES: Final = (*APPEND_TYPES, 20)

CREATE: Final = f"""
CREATE SCHEMA relay;

-- One row: what this database is.
CREATE TABLE relay.cluster (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    schema_version integer NOT NULL,
    format_level integer NOT NULL,
    cluster_id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Which configuration is the latest that a node with a shard had, and a digest of it.
    config_generation bigint NOT NULL DEFAULT 0,
    config_digest bytea NOT NULL DEFAULT ''
);
INSERT INTO relay.cluster (schema_version, format_level) VALUES ({SCHEMA_VERSION}, {FORMAT_LEVEL});

-- Who owns a shard. A row changes only when the owner changes. An empty owner: nobody owns it.
CREATE TABLE relay.shard (
    number integer PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    owner text NOT NULL DEFAULT '',
    owned_since timestamptz NOT NULL DEFAULT now()
);

-- The owner's sign of life: it raises the counter. Others watch whether the counter stands still.
CREATE TABLE relay.lease (
    shard integer PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    counter bigint NOT NULL DEFAULT 0,
    lease_seconds double precision NOT NULL DEFAULT 0,
    renewed_at timestamptz NOT NULL DEFAULT now(),
    settings_version bigint NOT NULL DEFAULT 0
);

-- The connection that appends to a shard's log. A take-over ends this connection if it holds the shard's row.
CREATE TABLE relay.appender (
    shard integer PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    node text NOT NULL DEFAULT '',
    backend_pid integer NOT NULL DEFAULT 0,
    backend_started_at timestamptz,
    connected_at timestamptz NOT NULL DEFAULT now()
);

-- The nodes that have ever run, for people, and for what nodes must know of each other.
CREATE TABLE relay.node (
    name text PRIMARY KEY,
    relay_version text NOT NULL DEFAULT '',
    format_level integer NOT NULL DEFAULT 0,
    address text NOT NULL DEFAULT '',
    config_generation bigint NOT NULL DEFAULT 0,
    config_digest bytea NOT NULL DEFAULT '',
    followed_sequence bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- The segments of each shard's log. Segment N of shard S is the table relay.log_S_N.
CREATE TABLE relay.segment (
    shard integer NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (shard, number)
);

-- The pattern of these tables. It has no rows itself.
--   sequence: 1, 2, 3 and so on through all segments of the shard
--   digest: of this row and of the digest of the row before
--   start: the offset of the octets in the segment
CREATE TABLE relay.log_pattern (
    sequence bigint PRIMARY KEY,
    epoch bigint NOT NULL,
    before bytea NOT NULL,
    digest bytea NOT NULL,
    start bigint NOT NULL,
    octets bytea NOT NULL
);
-- To compress the octets would cost the server more than to write them.
ALTER TABLE relay.log_pattern ALTER COLUMN octets SET STORAGE EXTERNAL;

-- Adds a shard that nobody owns, with an empty log. A second call does nothing.
CREATE FUNCTION relay.add_shard(new_shard integer) RETURNS void
LANGUAGE sql AS $body$
    INSERT INTO relay.shard (number) VALUES (new_shard) ON CONFLICT DO NOTHING;
    INSERT INTO relay.lease (shard) VALUES (new_shard) ON CONFLICT DO NOTHING;
    INSERT INTO relay.appender (shard) VALUES (new_shard) ON CONFLICT DO NOTHING;
$body$;

-- Makes the table of a segment. False: the epoch is over. A second call does nothing.
CREATE FUNCTION relay.begin_segment(of_shard integer, of_epoch bigint, new_segment bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM FROM relay.shard WHERE number = of_shard AND epoch = of_epoch FOR SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO relay.segment (shard, number) VALUES (of_shard, new_segment) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        -- Rows are never changed, so there is nothing to vacuum.
        EXECUTE format(
            'CREATE TABLE relay.log_%s_%s (LIKE relay.log_pattern INCLUDING ALL) '
            'WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false)', of_shard, new_segment);
    END IF;
    RETURN true;
END
$body$;

-- Removes the rows of a segment from an offset on: they belong to a commit that failed. False: the epoch is over.
CREATE FUNCTION relay.cut_segment(of_shard integer, of_epoch bigint, cut_segment bigint, new_end bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM FROM relay.shard WHERE number = of_shard AND epoch = of_epoch FOR SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    EXECUTE format('DELETE FROM relay.log_%s_%s WHERE start >= $1', of_shard, cut_segment) USING new_end;
    RETURN true;
END
$body$;

-- Drops a segment. False: the epoch is over. A second call does nothing.
CREATE FUNCTION relay.drop_segment(of_shard integer, of_epoch bigint, old_segment bigint) RETURNS boolean
LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM FROM relay.shard WHERE number = of_shard AND epoch = of_epoch FOR SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM relay.segment WHERE shard = of_shard AND number = old_segment;
    IF FOUND THEN
        EXECUTE format('DROP TABLE relay.log_%s_%s', of_shard, old_segment);
    END IF;
    RETURN true;
END
$body$;
"""


def log_table(shard: int, segment: int) -> str:
    """The name of the table with the rows of a segment."""
    return f"relay.log_{shard:d}_{segment:d}"


def append_statement(shard: int, segment: int, before_segment: int | None) -> str:
    """Makes the statement that adds a row to a shard's log. It adds nothing if the epoch is over, or if the row before
    isn't there.

    Its parameters are epoch, sequence, before, digest, start and octets, as in `APPEND_TYPES`. It returns one row if it
    has added one: the server's `synchronous_standby_names`. FOR SHARE matters: a weaker lock would not conflict with a
    take-over.

    :param before_segment: the segment of the row before; None: the log is empty.
    """
    return _insert_statement(shard, segment, before_segment, "s.epoch")


def put_back_statement(shard: int, segment: int, before_segment: int | None) -> str:
    """Makes the statement that adds a row that the log has lost. It is like `append_statement`, but its parameter
    epoch is only compared, and the row's own epoch is another parameter at the end."""
    return _insert_statement(shard, segment, before_segment, "$7")


def _insert_statement(shard: int, segment: int, before_segment: int | None, epoch: str) -> str:
    last = "true"
    if before_segment is not None:
        last = f"EXISTS (SELECT FROM {log_table(shard, before_segment)} WHERE sequence = $2 - 1 AND digest = $3)"
    return (
        f"INSERT INTO {log_table(shard, segment)} (sequence, epoch, before, digest, start, octets) "
        f"SELECT $2, {epoch}, $3, $4, $5, $6 FROM relay.shard s WHERE s.number = {shard:d} AND s.epoch = $1 AND {last} "
        "FOR SHARE OF s RETURNING current_setting('synchronous_standby_names')"
    )
