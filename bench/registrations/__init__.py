"""Registrations through HTTP until the mail server has accepted the welcome mail, beside the same without an outbox.

`python -m bench.registrations` starts what `make example` starts (PostgreSQL, Kafka, the application, a relay, five
workers, a real-time server) with a mail server of its own, and beside it `direct`: the same application, hash, table
and mail, that commits the user alone and hands the mail to the server itself, in the request. That is as short as the
way can be; it loses the mail in a crash, and keeps whoever registers waiting for the mail server. `load` asks both, in
turn.
"""
