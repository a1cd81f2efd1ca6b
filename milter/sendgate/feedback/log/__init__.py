"""Postfix's log: from lines to events."""
