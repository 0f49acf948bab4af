"""Edu Matrix, the application of the guide, to copy from: registration and course purchase over HTTP. Extra `example`.

Law: whatever a request changes and announces is one transaction. A crash, a declined payment, a double click or a
rollback leaves neither half. Nothing here talks to Kafka; the library never imports it.

Read `registration.py` first, then `purchase.py`; `api.py` puts them on the network. The page that shows it alive is in
`static/` and `page.py`, with `journey.py` behind it.
"""
