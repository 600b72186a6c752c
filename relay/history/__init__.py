"""What has ended, kept for later: one line of JSON a message, for billing and disputes.

In:   messages that have ended.
Out:  files of lines, one a day.
Read: `message_records.py` first. Texts are never in it.
"""
