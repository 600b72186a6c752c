"""The customers: what the configuration says of them and what they have set themselves.

In:   accounts of the configuration, settings from the store, credentials that somebody shows.
Out:  whose credentials they are; where and how an account is notified; signatures.
Read: `accounts.py` first. Settings made on a page or over the API are laid over the configuration and outlive a
    restart.
"""
