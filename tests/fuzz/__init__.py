"""Fuzzing of both listeners: mutated PDUs and HTTP requests through real sockets."""
