"""A newcomer's walk through docs/operations.md on an empty Debian machine: `make walk`."""
