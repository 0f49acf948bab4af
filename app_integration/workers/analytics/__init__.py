"""Counts what users did, by hour and by day."""
