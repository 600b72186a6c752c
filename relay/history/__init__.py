"""Keeps the outcome of messages: in the history, for searches, and in message records, for billing.

In:   the journal's records, after their commit; messages that have ended.
Out:  answers to searches, sums by hour and minute; files of lines, one a day.
Read: `history.py` first: the service. Then `history_writer.py` (journal to database), `history_search.py`, and for the
    files `message_records.py`. None of these holds the text of a message.
"""
