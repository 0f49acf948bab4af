"""What the parts of a server share: its settings, its connections, and the ways to the database and to Kafka."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from psycopg_pool import AsyncConnectionPool

from app_integration.realtime.clients import Clients
from app_integration.realtime.ephemeral import Ephemeral
from app_integration.realtime.outlet import Outlet
from app_integration.realtime.policy import Policy
from app_integration.realtime.settings import Settings
from app_integration.realtime.telemetry import Telemetry


@dataclass(slots=True)
class Place:
    """One server's own things."""

    settings: Settings
    pool: AsyncConnectionPool
    clients: Clients
    outlet: Outlet
    ephemeral: Ephemeral
    policy: Policy
    telemetry: Telemetry
    server_id: UUID

    def renew(self) -> None:
        """Take another id: a server that was ended never comes back under the same."""
        self.server_id = uuid4()
