"""Names of users and rooms: what they may look like, and what they say. Pure.

A room is `<kind>:<id>`, such as `course:7`. The kind `user` is a user's own room, for what is told to them alone. Names
are ASCII and matched whole, so that two that look alike are the same, and one is never part of another.
"""

import re

_ID = r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,199}"
USER = re.compile(_ID)
ROOM = re.compile(rf"[a-z][a-z0-9-]{{0,29}}:{_ID}")


def kind_of(room: str) -> str:
    """Tell the kind of a room: `course` of `course:7`."""
    return room.partition(":")[0]


def room_of(user_id: str) -> str:
    """Name the room of a user's own."""
    return f"user:{user_id}"


def owner_of(room: str) -> str | None:
    """Tell whose own room it is; None for one that is shared."""
    kind, _, id_ = room.partition(":")
    return id_ if kind == "user" else None
