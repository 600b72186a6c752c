"""The configuration file: the types of its keys, and how they are read from YAML.

In:   YAML nodes; two configurations to compare; a URL to check.
Out:  `Config` values, or a list of problems with their lines; the changes that a reload has to apply.
Read: `model.py` first, then the `*_config.py` of a table: the meaning, the default and the bounds of every key. The
    reference and the sample file are generated from them.
"""
