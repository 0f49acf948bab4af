"""A worker that breaks a promise on purpose: `python -m tests.endtoend.program BREAKAGE worker …`, see `breakages`."""

import sys

from app_integration.__main__ import main
from tests.endtoend.breakages import BREAKAGES

if __name__ == "__main__":
    BREAKAGES[sys.argv.pop(1)]()
    sys.exit(main())
