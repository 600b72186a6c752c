"""The HTTP API for customers.

In:   requests on the customers' listener.
Out:  submissions for the flow, queries for the store, settings for the accounts; JSON answers and problem
    documents.
Read: `http_api.py` first. `site` reads requests and writes replies without knowing what they mean. `migration`
    speaks like other gateways.
"""
