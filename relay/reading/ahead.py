"""Reading the next page while Kafka acknowledges the one before: on a thread of its own, which only ever reads."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from relay.message import Page, Position
from relay.reading.reader import Reader


class Ahead:
    """At most one page that is being read, or was and is not taken yet.

    Args:
        reader: reads; whoever else reads on its session waits while it does.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, "outbox-read-ahead")
        self._page: Future[Page] | None = None

    @property
    def under_way(self) -> bool:
        """Whether there is one to take."""
        return self._page is not None

    def begin(self, positions: Mapping[int, Position], floor: int) -> None:
        """Begin to read what comes behind some positions."""
        self._page = self._thread.submit(self._reader.read, positions, floor)

    def take(self, meanwhile: Callable[[], None], seconds: float) -> Page:
        """Wait for the page.

        Args:
            meanwhile: called time and again, for a long read must not pass for a relay that hangs.
            seconds: so often.

        Raises:
            psycopg.Error: what reading has raised.
        """
        page = self._page
        assert page is not None
        while not page.done():
            meanwhile()
            wait([page], seconds)
        self._page = None
        return page.result()

    def close(self) -> None:
        """End the thread, once it has read what it is reading."""
        self._thread.shutdown(cancel_futures=True)
