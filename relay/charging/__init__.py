"""What accounts may use, and what their messages cost.

In:   the accounts of the configuration; what the store has counted for an account; the messages of a batch.
Out:  the charge of each message that is accepted, or the refusal of one that is over the account's quota.
Read: `charging.py` first. `terms` has what the configuration says about one account.
"""
