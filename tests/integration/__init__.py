"""Each part, and the whole, on real servers that behave."""
