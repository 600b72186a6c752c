"""Turns the configuration of another gateway into one of the relay: `python -m relay import`.

In:   the text of a kannel.conf, or the files of Jasmin's configuration directory.
Out:  an `Imported`: tables for YAML, and a line for each setting that was left out.
Read: `imported.py` first, then `kannel_import.py` for one gateway from its first group to the last.

Nothing here opens a file or runs anything of what it reads: the caller passes the texts in.
"""
