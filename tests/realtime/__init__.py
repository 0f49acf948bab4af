"""Real time, as clients of two servers see it: real Socket.IO clients, PostgreSQL, Kafka and relay, all processes."""
