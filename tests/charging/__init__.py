"""Tests of quotas and prices."""
