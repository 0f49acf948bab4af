"""Which topic in Kafka a logical topic goes to. Pure: decided from the settings alone, whether it exists or not."""

from dataclasses import dataclass
from functools import cached_property

from relay.configuration.kafka_properties import nearest
from relay.configuration.settings import Settings


@dataclass(frozen=True)
class Routes:
    """The routes that the settings describe.

    A logical topic that is not listed goes to the topic of its own name, unless `strict_topics`. Two logical topics may
    share one topic in Kafka: order is promised for a logical topic and key, and a shard has all messages of a key.
    """

    settings: Settings

    @cached_property
    def _listed(self) -> dict[str, str]:
        return {logical: topic.name for logical, topic in self.settings.topics.items()}

    def __call__(self, logical: str) -> str | None:
        """Return the topic in Kafka that a logical topic goes to; None when `strict_topics` refuses it."""
        found = self._listed.get(logical)
        if found is None and not self.settings.strict_topics:
            return logical
        return found

    def refusal(self, logical: str) -> str:
        """Say why a message of an unlisted topic cannot be published under `strict_topics`, and the mend."""
        listed = ", ".join(sorted(self._listed)) or "none"
        near = nearest(logical, self._listed)
        return (
            f"topic {logical!r} is not listed under [topics] and strict_topics is on (listed: {listed}){near or ';'} "
            f'add [topics."{logical}"] or turn strict_topics off'
        )
