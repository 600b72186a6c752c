"""Tests of `relay.tracing`."""
