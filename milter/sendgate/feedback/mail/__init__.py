"""Bounce messages and complaints: from octets to events."""
