"""`python -m relay COMMAND`: one module a command.

In:   arguments and standard input.
Out:  words on standard output, errors on standard error, an exit status.
Read: `main.py` first. Commands that talk to a running relay use `admin_client`.
"""
