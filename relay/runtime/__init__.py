"""Helpers around Twisted that several packages need.

In:   coroutines to run, bodies to read, octets to write, work to be shared.
Out:  kept coroutines (`tasks`), bounded bodies, writes that leave at once, fair turns for customers.
Read: `tasks.py` first. Nothing here knows what an SMS is.
"""
