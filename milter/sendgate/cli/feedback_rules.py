"""The rules of feedback that the settings name.

In: settings. Out: the rules, the user's own first. Refused: `SettingsError` with every mistake of the user's file.
"""

from __future__ import annotations

from pathlib import Path

from sendgate.feedback.rules import Rules, RulesError, load_rules
from sendgate.settings import Settings
from sendgate.settings_file import SettingsError


def rules_of(settings: Settings) -> Rules:
    """The rules of classification. Raises SettingsError."""
    given = settings.feedback.rules_file
    try:
        return load_rules(Path(given) if given else None)
    except RulesError as error:
        raise SettingsError([f"feedback.rules_file: {problem}" for problem in error.problems]) from None
