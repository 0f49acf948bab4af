"""The real-time side of Edu Matrix: chat, notifications, presence, feeds and calls, over Socket.IO. Extra `realtime`.

Law: what lasts is in the database, and is announced by the transaction that stores it; servers hear of one another
through Kafka alone, and any of them can be killed. `app_integration` itself imports none of this.

From the bottom: `refusal`, `names`, `rates`, `live`, `calls`, `records`, `requests` decide and do no I/O; `streams`,
`attendance`, `call_store`, `policy` are the database, `topic` and `ephemeral` Kafka, `outlet` and `gate` the network;
`door`, `rooms`, `desk` answer clients, `dispatch` tells them, `keeper` clears up; `server` and `daemon` make it one.
`records.notification` is for whoever notifies a user.
"""
