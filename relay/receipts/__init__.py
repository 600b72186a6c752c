"""Delivery receipts: how carriers write them, and how we write them for customers.

In:   a carrier's deliver_sm or data_sm with the carrier's dialect; a notification for an SMPP customer.
Out:  a `Receipt` value with the keys to look for, its state and error; the body of a deliver_sm.
Read: `reader.py` first. A dialect says how a carrier writes ids and states. `presets` are dialects by name;
    `dialect_search` finds one from samples.
"""
