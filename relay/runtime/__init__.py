"""Helpers around Twisted that several packages need.

In:   coroutines to run, bodies to read, octets to write, work to be shared.
Out:  coroutines that run to their end (`tasks`), bodies of a limited size, writes without a delay, fair turns for
    customers.
Read: `tasks.py` first. Nothing here knows what an SMS is.
"""
