"""Delivery receipts: reads those of carriers, and writes those for customers.

In:   a carrier's deliver_sm or data_sm, and the carrier's dialect; a notification for an SMPP customer.
Out:  a `Receipt` with the ids to look up, its state and its error; the body of a deliver_sm.
Read: `reader.py` first. A dialect says how a carrier writes ids and states. `presets` are dialects by name;
    `dialect_search` finds one from samples.
"""
