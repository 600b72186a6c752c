"""Measures how fast the relay is, with load, carrier and webhook receiver in separate processes.

Theory of operation
-------------------
Every measurement is a chain of processes on loopback: a load generator (`esme` or `http_load`), the gateway under
test (the relay, or the minimal `floor`), a `carrier`, and for webhooks a `sink`. The generators send octets that were
encoded before the measurement, and read as little of an answer as they can, so that they cost a fraction of what the
gateway costs. Every row also prints their cost. The gateway's CPU time is read from /proc before and after the
measured interval.

The destination address of a message is its number. With it, the time at which the carrier wrote a receipt and the time
at which the customer read it can be joined afterwards: all processes read the same CLOCK_MONOTONIC.
"""
