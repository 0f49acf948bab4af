"""Chat to many clients on two servers, from send to receive, beside a bare Socket.IO server in the same run.

`python -m bench.realtime --clients 1000 --messages 100 --per-second 2` starts PostgreSQL, Kafka, a relay, two servers
and the crowd, all on this machine, and prints a table. `crowd` is a process of many clients, `bare` the server to
compare with.
"""
