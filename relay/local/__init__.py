"""A throwaway PostgreSQL and Kafka on this machine, for tests and the demo; the relay itself never comes in.

Each server runs in a folder of its own on a free port of 127.0.0.1, can be killed, paused and started again
as the tests of a promise need it, and ends with the program that started it, however that ends. `process` is
one child process; `binaries` and `unprivileged` say where PostgreSQL is found and as whom it runs; `postgres`
and `kafka` are the servers; `jars` is how Kafka is fetched; `services` says which ones to use. `database` is one of
one's own on a server of somebody else's; `folder` is where it all is; `interruption` is Ctrl-C and SIGTERM,
at any moment.
"""
