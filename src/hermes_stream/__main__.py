"""``python -m hermes_stream`` is the ``hermes`` command."""

import sys

from hermes_stream.cli import main

if __name__ == "__main__":
    sys.exit(main())
