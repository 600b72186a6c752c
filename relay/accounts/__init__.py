"""The customers: their accounts in the configuration, and the settings that they have made themselves.

In:   the configuration's accounts; settings from the store; the credentials of a request.
Out:  the account that has these credentials; where and how an account is notified; signatures.
Read: `accounts.py` first. Settings that customers make on a page or over the API replace the configuration's values.
    They are kept over a restart.
"""
