"""Other gateways' HTTP interfaces, for customers who come from there.

In:   requests as Kannel's and Jasmin's customers send them.
Out:  the same submissions as from the API, and answers in those gateways' words.
Read: `kannel.py` or `jasmin.py` first; `gateway_fields` is for both. Each interface is off until the
configuration switches it on.
"""
