"""An SMS relay: it sends customers' messages to carriers, and tells the customers how each message ended."""

__version__ = "0.2.0"
