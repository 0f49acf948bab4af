"""A relay that breaks a promise on purpose: `python -m tests.faults.program BREAKAGE run …`, see `breakages`."""

import sys

from relay.cli.main import main
from tests.faults.breakages import BREAKAGES

if __name__ == "__main__":
    BREAKAGES[sys.argv.pop(1)]()
    main()
