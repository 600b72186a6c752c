"""The configuration file: its types, and reading them from YAML.

In:   YAML nodes; two configurations to compare; a URL to check.
Out:  `Config` values, or a list of problems with their lines; what a reload has to change.
Read: `model.py` first. Every key has its meaning, default and bounds in `model`. The reference and the sample file
    are made from it.
"""
