"""An outage of the database is told in one line, however many queues of the deliverer met it; a fault is told whole."""

import psycopg

from app_integration.workers.integrations.deliverer import _of_database

AWAY = psycopg.OperationalError("the server closed the connection")


def test_an_outage_that_one_queue_or_several_met_is_known_as_one() -> None:
    assert _of_database(AWAY) is AWAY
    assert _of_database(ExceptionGroup("tasks", [AWAY])) is AWAY
    assert (
        _of_database(ExceptionGroup("tasks", [ExceptionGroup("more", [AWAY]), psycopg.errors.AdminShutdown()])) is AWAY
    )


def test_a_fault_is_no_outage_also_where_it_comes_with_one() -> None:
    assert _of_database(KeyError("url")) is None
    assert _of_database(ExceptionGroup("tasks", [AWAY, KeyError("url")])) is None
