"""Notifications to customers' URLs.

In:   keys of queues in which something is owed; the accounts' settings.
Out:  POSTs, and their outcomes settled in the store: delivered, to be tried again, or given up.
Read: `webhook_sender.py` first. `webhook_sender` decides when and how many; `delivery` makes one attempt;
    `webhook_client` and `connections` speak HTTP. The rest are values and rules without Twisted.
"""
