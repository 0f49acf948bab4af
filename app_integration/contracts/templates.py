"""Which templates of mails there are, and what each needs. Pure.

The worker has the files; here is what an application must give, so that a missing name is refused while the
transaction can still be rolled back and not by a worker at night. A test of the workers compares the two.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from app_integration.errors import InvalidMessage

_templates: dict[str, frozenset[str]] = {}


def template(name: str, *variables: str) -> None:
    """Make a template known.

    Args:
        name: its name, as in `queue_email(…, template=name)`.
        variables: what `data` must have; it may have more.
    """
    _templates[name] = frozenset(variables)


def templates() -> Mapping[str, frozenset[str]]:
    """Give all known templates with the variables that each needs."""
    return dict(_templates)


def check_template(name: str, data: Mapping[str, Any]) -> None:
    """Check that a template is known and has what it needs.

    Raises:
        InvalidMessage: it is not, or something is missing or None; the text names it.
    """
    needed = _templates.get(name)
    if needed is None:
        near = difflib.get_close_matches(name, _templates, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(_templates))}"
        raise InvalidMessage("template", f"is {name!r}, which is not known; {hint}")
    missing = sorted(variable for variable in needed if data.get(variable) is None)
    if missing:
        raise InvalidMessage(
            f"data.{missing[0]}", f"is missing; the template {name!r} needs {', '.join(sorted(needed))}"
        )


template("welcome", "name")
template("course_access", "courseName")
