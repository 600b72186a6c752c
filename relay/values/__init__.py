"""The values that packages pass to each other, and nothing else.

In:   nothing: these modules import only the standard library, msgspec and each other.
Out:  messages, receipts, notifications and their states; ids; PDUs as values; secrets; counters, histograms, token
    buckets.
Read: `messages.py` first, then `carrier_reports.py` and `notifications.py`. Values are frozen, and the garbage
    collector doesn't track them. They hold no transport, no clock and no store.
"""
