"""What `python -m relay COMMAND` runs: one module a command."""
