"""The operator's side: metrics, health, the operator's page, and what an operator may do.

In:   requests on the admin listener.
Out:  metrics, JSON and one page; actions on the running relay, each recorded.
Read: `admin_pages.py` first. `overview` makes one value of the daemon's state, for the page and `python -m relay
status`.
"""
