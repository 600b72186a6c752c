"""An SMS relay whose delivery receipts come home."""

__version__ = "0.2.0"
