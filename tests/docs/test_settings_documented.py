"""docs/settings.md against the models of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from docs.pages import code, docs, rows
from sendgate.settings import ListSettings, Settings, load

_NAME = "<name>"


def _keys() -> dict[str, str]:
    """Every key of the settings, and its variable."""
    keys = []
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if section == "lists":
            keys += [f"lists.{_NAME}.{name}" for name in ListSettings.model_fields]
        elif isinstance(model, type) and issubclass(model, BaseModel):
            keys += [f"{section}.{inner.alias or name}" for name, inner in model.model_fields.items()]
    return {key: "SENDGATE_" + key.upper().replace(".", "__") for key in keys}


KEYS = _keys()
_DOCUMENTED = {code(row[0])[0]: row for row in rows(docs("settings.md")) if len(row) == 5 and code(row[0])}


def test_there_are_keys_to_look_for() -> None:
    assert {"milter.socket", "campaign.from", "lists.<name>.match"} <= KEYS.keys()


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    assert _DOCUMENTED.keys() == KEYS.keys()


@pytest.mark.parametrize("key", KEYS)
def test_the_documented_variable_is_the_one_that_is_read(key: str) -> None:
    assert code(_DOCUMENTED[key][3]) == [KEYS[key]]


@pytest.mark.parametrize("key", KEYS)
def test_the_documented_default_is_the_default(key: str, tmp_path: Path) -> None:
    default = code(_DOCUMENTED[key][1])[0]
    (tmp_path / "empty.yaml").write_text("")
    variable = KEYS[key].replace(_NAME.upper(), "SOME")
    settings = load(tmp_path / "empty.yaml", {variable: default})
    if _NAME in key:
        assert settings.lists["some"] == ListSettings()
    else:
        assert settings == Settings()


@pytest.mark.parametrize("key", KEYS)
def test_the_meaning_is_not_empty(key: str) -> None:
    assert len(_DOCUMENTED[key][4]) > 10


def test_the_pods_campaign_is_documented(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert load(tmp_path / "empty.yaml", {"CAMPAIGN_ID": "pod"}).campaign_id == "pod"
    assert "`CAMPAIGN_ID`" in docs("settings.md")


def test_the_example_of_mistakes_tells_what_the_program_tells(tmp_path: Path) -> None:
    page = docs("settings.md").partition("## What a mistake looks like")[2]
    example, told = (part.partition("```")[0] for part in page.split("```text\n")[1:3])
    assert yaml.safe_load(example)
    (tmp_path / "sendgate.yaml").write_text(example)
    with pytest.raises(ValueError, match=r"sendgate\.yaml:2") as refused:
        load(tmp_path / "sendgate.yaml", {"SENDGATE_OBSERVE__ALL": "perhaps"})
    assert str(refused.value).replace(str(tmp_path), "/etc/sendgate") == told.strip()
