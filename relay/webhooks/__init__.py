"""Sends notifications to customers' URLs.

In:   keys of queues with owed notifications; the accounts' settings.
Out:  HTTP requests, and their outcomes settled in the store: delivered, to be tried again, or given up.
Read: `webhook_sender.py` first. It decides when to send, and how many notifications. `queue_claims` claims them in the
    store. `attempts` judges how requests ended. `delivery` makes one attempt. `webhook_client`, `connections`,
    `connection_pool` and `checked_endpoints` speak HTTP. The other modules are values and rules without Twisted.
"""
