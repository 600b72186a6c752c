"""The HTTP API for customers.

In:   requests on the customers' listener.
Out:  submissions for the message flow, queries for the store, settings for the accounts; JSON answers and problem
    documents.
Read: `http_api.py` first. `site` reads requests and writes replies, and doesn't know what they mean. `migration` has
    the interfaces of other gateways.
"""
