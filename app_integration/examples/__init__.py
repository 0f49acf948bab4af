"""Applications to copy from. Each is runnable; none is imported by the library."""
