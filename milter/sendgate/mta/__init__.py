"""Postfix itself, asked about its queue."""
