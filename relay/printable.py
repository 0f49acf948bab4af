"""Text on a terminal: what an application or a broker wrote must not move the cursor or hide a line. Pure."""


def printable(text: str) -> str:
    r"""Escape what is not printed as itself: control characters, escape sequences, marks that turn the line around.

    Args:
        text: a topic, a key, the words of an error.

    Returns:
        The same in one line, with such characters as in a Python string, `\x1b`.
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


MOST = 300
"""Characters of a text of others that a line has room for."""


def short(text: str, most: int = MOST) -> str:
    """Escape a text of others, and cut it: a key may be a megabyte long."""
    rest = len(text) - most
    return printable(text[:most]) + (f" … and {rest:,} characters more" if rest > 0 else "")


def quoted(text: str, most: int = MOST) -> str:
    """Quote what somebody typed, as Python writes text, and cut it."""
    rest = len(text) - most
    return repr(text[:most]) + (f" … and {rest:,} characters more" if rest > 0 else "")


def counted(number: int, of: str) -> str:
    """Say how many of something there are: "1 message", "2,000 messages"."""
    return f"{number:,} {of}{'' if number == 1 else 's'}"
