"""What has become of messages, kept for later: the history, to be searched, and message records, for billing.

In:   the journal's records, behind the commit; messages that have ended.
Out:  answers to searches, sums by hour and minute; files of lines, one a day.
Read: `history.py` first: the service. Then `history_writer.py` (journal to database), `history_search.py`, and for the
    files `message_records.py`. Texts are never in any of them.
"""
