"""What can be set, where it is written, and how it is read and judged."""
