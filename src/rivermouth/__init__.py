"""Rivermouth: one model stream, every chat client."""

__version__ = "0.1.0"
