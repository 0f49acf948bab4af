import json

from relay.configuration.loading import load
from relay.configuration.settings import Settings
from relay.publishing.routing import Routes


def settings(*, strict: bool, **topics: dict[str, str]) -> Settings:
    return load({"RELAY_TOPICS": json.dumps(topics), "RELAY_STRICT_TOPICS": str(strict)}, needs=())


def test_a_listed_topic_goes_to_its_name_in_kafka() -> None:
    assert Routes(settings(strict=True, orders={"name": "shop.orders"}))("orders") == "shop.orders"


def test_a_listed_topic_without_a_name_goes_to_its_own() -> None:
    assert Routes(settings(strict=True, orders={}))("orders") == "orders"


def test_an_unlisted_topic_goes_to_its_own_name() -> None:
    assert Routes(settings(strict=False, orders={"name": "shop.orders"}))("other") == "other"


def test_an_unlisted_topic_is_refused_when_topics_are_strict() -> None:
    assert Routes(settings(strict=True, orders={"name": "shop.orders"}))("shop.orders") is None


def test_two_logical_topics_may_share_one_in_kafka() -> None:
    routes = Routes(settings(strict=True, orders={"name": "shop"}, refunds={"name": "shop"}))
    assert routes("orders") == routes("refunds") == "shop"


def test_a_refusal_names_the_topic_the_nearest_listed_one_and_the_mend() -> None:
    assert Routes(settings(strict=True, orders={}, users={})).refusal("order") == (
        "topic 'order' is not listed under [topics] and strict_topics is on (listed: orders, users); "
        'did you mean orders? add [topics."order"] or turn strict_topics off'
    )
