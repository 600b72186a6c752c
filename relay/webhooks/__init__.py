"""Notifications to customers' URLs.

In:   keys of queues in which something is owed; the accounts' settings.
Out:  POSTs, and their outcomes settled in the store: delivered, to be tried again, or given up.
Read: `webhook_sender.py` first. `webhook_sender` decides when and how many; `queue_claims` takes them from the store;
    `attempts` judges how requests ended; `delivery` makes one attempt; `webhook_client`, `connections`,
    `connection_pool` and `checked_endpoints` speak HTTP. The rest are values and rules without Twisted.
"""
