"""Properties here are tried on the same examples in every run, as those of `fuzz` are."""

from fuzz import conftest

__all__ = ["conftest"]
