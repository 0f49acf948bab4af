"""What can go wrong: each kind of fault a small class, with the hands that it lays on the stage and takes off again."""

from tests.faults.kinds.fault import Fault, Kind
from tests.faults.kinds.networks import NETWORKS
from tests.faults.kinds.operators import OPERATORS
from tests.faults.kinds.relays import RELAYS
from tests.faults.kinds.servers import SERVERS
from tests.faults.kinds.topics import TOPICS

KINDS: tuple[Kind, ...] = (*RELAYS, *SERVERS, *NETWORKS, *TOPICS, *OPERATORS)

__all__ = ["KINDS", "Fault", "Kind"]
