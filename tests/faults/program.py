"""The relay as the tests start it: `python -m tests.faults.program [--broken KIND] run …`.

It is the relay, but for two things that a test may ask for. Under libfaketime `time.sleep` is done by a call that this
library understands: on an absolute time of CLOCK_MONOTONIC, which Python sleeps until, it answers EINVAL (0.9.10). And
with `--broken` a promise is broken on purpose, see `breakages`.
"""

import os
import select
import sys
import time

from relay import cli
from tests.faults.breakages import BREAKAGES


def main() -> None:
    """Change what was asked for, then be the relay."""
    if "faketime" in os.environ.get("LD_PRELOAD", ""):
        time.sleep = lambda seconds: select.select([], [], [], float(seconds)) and None
    if sys.argv[1] == "--broken":
        BREAKAGES[sys.argv[2]]()
        del sys.argv[1:3]
    cli.main()


if __name__ == "__main__":
    main()
