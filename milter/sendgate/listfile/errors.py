"""What stops the reading of a whole file. A single bad line does not: it is reported and passed over."""

from __future__ import annotations


class ListFileError(Exception):
    """The file as a whole cannot be read: the message names it and says why."""
