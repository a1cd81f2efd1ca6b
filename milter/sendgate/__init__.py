"""Sendgate: the gate between a sender and the world."""

__version__ = "0.1.0"
