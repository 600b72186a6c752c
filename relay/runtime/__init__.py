"""What Twisted lacks and several packages need.

In:   coroutines to run, bodies to read, octets to write, work to share out.
Out:  kept coroutines (`tasks`), bounded bodies, writes that leave at once, turns shared out between customers.
Read: `tasks.py` first. Nothing here knows what an SMS is.
"""
