"""Events of the application's own: how an application adds to those that it begins with."""

from app_integration.contracts import Identifier, Message, business_event


@business_event("portrait_uploaded", version=1)
class PortraitUploaded(Message):
    """A user has a new portrait.

    It has the image itself in it, and a photograph is larger than what a topic takes by default. Somebody makes this
    mistake in every system; the page makes it on purpose, to show what becomes of a message that Kafka refuses.
    """

    user_id: Identifier
    image: str
