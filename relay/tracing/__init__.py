"""OpenTelemetry, where it is asked for: the publishing of a message as a part of the trace that enqueued it.

Law: nothing of OpenTelemetry is imported anywhere else in the relay, nor here unless the setting `tracing` is on.
"""
