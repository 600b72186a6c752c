"""The daemon: puts all parts together, starts them, reloads the configuration, and stops them.

In:   a configuration file and a reactor.
Out:  a running relay.
Read: `daemon.py` first. `listeners` opens its ports, and `link_maker` makes the carriers' links. `config_file` reads
    and checks a file (`load_config` makes a `Config` of its text), and `reload` applies a changed file to the running
    relay. `logging`, `tls` and `sd_notify` serve the daemon.
"""
