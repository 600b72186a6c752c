"""Offers the HTTP interfaces of Kannel and Jasmin, for customers who used one of these gateways.

In:   requests as Kannel's and Jasmin's customers send them.
Out:  the same submissions as from the relay's API, and answers in the words of Kannel or Jasmin.
Read: `kannel.py` or `jasmin.py` first; both use `gateway_fields`. Each interface is off until the configuration
    switches it on.
"""
