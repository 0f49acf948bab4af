"""How each strike is done; when it returns, whoever was struck is being started again, or goes on."""

import signal
import time

from tests.endtoend.plan import DATABASE, DELAYS, FROZEN, KAFKA, KILLED, LOSES, STOPPED, Strike
from tests.endtoend.seat import Seat
from tests.endtoend.stage import Stage

WELL = (0, -signal.SIGTERM)
"""How who was asked to go may end: uvicorn ends by its signal, once it has finished."""

DARK_SECONDS = 0.5
"""For which PostgreSQL is gone before it is started again."""


def befall(strike: Strike, here: Stage) -> str | None:
    """Do it; return what went wrong that may not, if anything did."""
    if strike.victim == DATABASE:
        here.crash_database(DARK_SECONDS)
    elif strike.victim == KAFKA:
        here.kafka.kill()
        here.kafka.start()
    else:
        return _befall(strike, here.seats[strike.victim])
    return None


def _befall(strike: Strike, seat: Seat) -> str | None:
    code: int | None = 0
    if strike.kind == KILLED:
        seat.kill()
        seat.start()
    elif strike.kind == STOPPED:
        code = seat.leave()
        seat.start()
    elif strike.kind == FROZEN:
        seat.send(signal.SIGSTOP)
        time.sleep(strike.seconds)
        seat.send(signal.SIGCONT)
    else:
        seat.send({LOSES: signal.SIGUSR1, DELAYS: signal.SIGUSR2}[strike.kind])
    return None if code in WELL else f"{seat.name}, asked to go, ended with {code}"
