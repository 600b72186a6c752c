"""Tests of relay/cluster without a database; those with one are in tests/integration."""
