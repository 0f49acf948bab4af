"""Lengths of time as people write them in settings. Pure."""

import re

_WRITTEN = re.compile(r"(0|[1-9][0-9]{0,9})([smhd])")

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

MOST_SECONDS = 3_650 * 86_400
"""Ten years: well within what PostgreSQL can take off a time."""

ALLOWED = 'a whole number with s, m, h or d, such as "7d" or "36h", up to 3650d; "0" is allowed too'


def seconds(text: str) -> int:
    """Read a length of time such as `90s`, `15m`, `36h` or `7d`; a bare `0` needs no unit.

    Raises:
        ValueError: it is none, or longer than ten years.
    """
    written = _WRITTEN.fullmatch(text if text != "0" else "0s")
    length = int(written[1]) * _SECONDS[written[2]] if written else None
    if length is None or length > MOST_SECONDS:
        raise ValueError(f"{text!r}; allowed: {ALLOWED}")
    return length


def text(length: float) -> str:
    """Write a length of time in the largest unit that leaves a whole number, in seconds otherwise."""
    for unit in "dhm":
        if length >= _SECONDS[unit] and length % _SECONDS[unit] == 0:
            return f"{length / _SECONDS[unit]:.0f}{unit}"
    return f"{length:.0f}s" if length else "0"
