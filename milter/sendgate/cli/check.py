"""`sendgate check-config`: whether the settings can be used, and what they are.

In: the settings' file and the environment. Out: "ok" and all settings in effect.
Refused: settings with mistakes, a secret that cannot be read, a store that is there but cannot be used.
"""

from __future__ import annotations

from typing import Any

import typer
import yaml

from sendgate.cli.options import ConfigOption, JsonOption, settings_of
from sendgate.cli.output import print_json
from sendgate.cli.problems import Exit, complain, tell
from sendgate.cli.stores import keyer, open_for_reading
from sendgate.origin_url import is_shared, parse_origin_url
from sendgate.settings import Settings
from sendgate.settings_file import SettingsError
from sendgate.store.errors import StoreError, StoreMissingError


def check_config(context: typer.Context, as_json: JsonOption = False, config: ConfigOption = None) -> int:
    """Check the settings, the secret and the store; show the settings in effect.

    Tells all mistakes at once, each with its place. A store that is not there yet is a warning.
    """
    try:
        settings = settings_of(context, config)
        keyer(settings)
        warnings = _check_store(settings)
    except (SettingsError, StoreError) as error:
        if as_json:
            problems = error.problems if isinstance(error, SettingsError) else [str(error)]
            print_json({"ok": False, "problems": problems})
        return tell(error)
    for warning in warnings:
        complain(f"warning: {warning}")
    effective = _effective(settings)
    if as_json:
        print_json({"ok": True, "warnings": warnings, "settings": effective})
    else:
        print("ok; the settings in effect:")
        print(yaml.safe_dump(effective, sort_keys=False, allow_unicode=True), end="")
    return Exit.YES


def _check_store(settings: Settings) -> list[str]:
    """Open the store. Returns warnings; raises StoreError when there is one that cannot be used."""
    try:
        with open_for_reading(settings) as origin:
            origin.counts()
    except StoreMissingError as error:
        return [str(error)]
    return []


def _effective(settings: Settings) -> dict[str, Any]:
    effective = settings.model_dump(mode="json", by_alias=True)
    if is_shared(settings.store.url):
        effective["store"]["url"] = str(parse_origin_url(settings.store.url))  # without the password
    if settings.campaign_id:
        effective["campaign_id"] = settings.campaign_id
    return effective
