"""How fast the relay is: load, carrier and webhook receiver as processes of their own, and the rows that they measure.

Theory of operation
-------------------
Every measurement is a chain of processes on loopback: a load generator (`esme` or `http_load`), the gateway under
test (the relay, or the bare `floor`), a `carrier`, and for webhooks a `sink`. The generators send bytes that are
encoded beforehand and look at no more of an answer than they must, so that they cost a fraction of what is measured;
every row prints what they cost as well. The gateway's CPU time is read from /proc around the measured interval.
A message's number stands in its destination address, so that the moment at which the carrier wrote a receipt and the
moment at which the customer read it can be joined afterwards: all processes read the same CLOCK_MONOTONIC.
"""
