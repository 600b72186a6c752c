"""Stub: see relay/core/messages.Receipt. Replaced by the receipt reader."""
