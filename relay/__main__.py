"""`python -m relay COMMAND`."""

import sys

from relay.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
