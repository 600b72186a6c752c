"""The daemon: everything put together, started, reloaded and stopped.

In:   a configuration file and a reactor.
Out:  a running relay.
Read: `daemon.py` first. `load_config` reads and checks a file; `reload` takes a new one up; `logging`, `tls` and
    `sd_notify` are what a daemon needs beside.
"""
