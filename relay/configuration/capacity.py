"""Amounts of disk space as people write them in settings. Pure."""

import re

_WRITTEN = re.compile(r"([1-9][0-9]{0,8})(MB|GB|TB|MiB|GiB|TiB)")

_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

ALLOWED = 'a whole number with MB, GB, TB, MiB, GiB or TiB, such as "200GB"'


def read(text: str) -> int:
    """Read an amount of disk space such as `200GB` or `64GiB`, in bytes.

    Raises:
        ValueError: it is none.
    """
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise ValueError(f"{text!r}; allowed: {ALLOWED}")
    return int(written[1]) * _BYTES[written[2]]


def text(amount: float) -> str:
    """Write an amount of bytes in the largest unit of 1000 that leaves a whole one: `1.2 GB`."""
    for unit in ("TB", "GB", "MB"):
        if abs(amount) >= _BYTES[unit]:
            return f"{amount / _BYTES[unit]:,.1f} {unit}"
    return f"{amount / 1000:,.0f} kB"
