"""Which variables Kubernetes put into the environment: those nobody wrote, and so they are no mistake. Pure."""

import re

_OF_A_SERVICE = re.compile(
    r"(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def set_by_kubernetes(variable: str, service: str) -> bool:
    """Whether a variable tells of a service, which every container gets (its documentation, "Discovering services").

    Args:
        variable: a name in the environment.
        service: how the service is called, in capitals; those whose names go on with a dash are meant too.
    """
    return variable.startswith(service) and _OF_A_SERVICE.fullmatch(variable, len(service)) is not None
