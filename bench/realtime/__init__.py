"""Chat to many clients on two servers, from send to receive, beside a bare Socket.IO server in the same run.

`python -m bench.realtime` starts PostgreSQL, Kafka, a relay, two servers and the crowd, all on this machine, and prints
a table; `--docs` puts it into docs/performance.md. `crowd` is a process of many clients, `bare` the server to compare
with.
"""
