"""`sendgate verp`: sign envelope senders, and tell what one that came back proves.

In: recipients and a campaign, or a sender; the settings name the secrets. Out: senders, or what a signature proves.
Refused: settings without feedback.verp_key_file, secrets that cannot be used, what no sender can carry.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sendgate.cli.options import ConfigOption, JsonOption, settings_of
from sendgate.cli.output import print_json
from sendgate.cli.problems import Exit, UsageError
from sendgate.feedback.verp import DAY, Expired, Verified, VerpChecker, VerpError, VerpSigner
from sendgate.listfile.times import iso
from sendgate.settings_feedback import FeedbackSettings
from sendgate.settings_file import SettingsError

LEAST_KEY_OCTETS, MOST_KEY_OCTETS = 16, 64

app = typer.Typer(help="Sign envelope senders (VERP), and check those that come back.", rich_markup_mode=None)


def keys_of(settings: FeedbackSettings) -> tuple[bytes, ...]:
    """The secrets that senders may be signed with, the current one first; () for none. Raises SettingsError."""
    if settings.verp_key_file is None:
        if settings.verp_previous_key_file is not None:
            raise SettingsError(["feedback.verp_previous_key_file: needs feedback.verp_key_file, which signs"])
        return ()
    keys = [_key("verp_key_file", settings.verp_key_file)]
    if settings.verp_previous_key_file is not None:
        keys.append(_key("verp_previous_key_file", settings.verp_previous_key_file))
        if keys[0] == keys[1]:
            raise SettingsError(["feedback.verp_previous_key_file: holds the same secret as feedback.verp_key_file"])
    return tuple(keys)


def checker_of(settings: FeedbackSettings) -> VerpChecker | None:
    """Checks senders by the settings; None when none is signed. Raises SettingsError."""
    keys = keys_of(settings)
    return VerpChecker(keys, settings.verp_prefix, settings.verp_max_age) if keys else None


@app.command("sign")
def sign(
    context: typer.Context,
    recipients: Annotated[list[str], typer.Argument(metavar="RECIPIENT...", help="Whom the messages go to.")],
    campaign: Annotated[str, typer.Option("--campaign", metavar="NAME", help="Campaign of the messages.")],
    domain: Annotated[str, typer.Option("--domain", metavar="DOMAIN", help="Domain of ours that takes the bounces.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Print a signed envelope sender for each recipient."""
    settings = settings_of(context, config).feedback
    try:
        signer = VerpSigner(_needed(settings)[0], settings.verp_prefix, domain)
        senders = [(recipient, signer.sign(recipient, campaign, time.time())) for recipient in recipients]
    except VerpError as error:
        raise UsageError(str(error)) from None
    if as_json:
        print_json([{"recipient": recipient, "sender": sender} for recipient, sender in senders])
    else:
        for _, sender in senders:
            print(sender)
    return Exit.YES


@app.command("check")
def check(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Envelope sender that came back.")],
    recipients: Annotated[
        list[str] | None,
        typer.Option("--recipient", metavar="ADDRESS", help="Whom it may be signed for, when it does not say."),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Tell what an envelope sender proves. Exit status 0 when a signature of ours counts, else 1."""
    settings = settings_of(context, config).feedback
    checker = VerpChecker(_needed(settings), settings.verp_prefix, settings.verp_max_age)
    result = checker.check(address, recipients or (), time.time())
    answer = {"result": type(result).__name__.lower()}
    if isinstance(result, (Verified, Expired)):
        day = iso(result.day * DAY)[:10]
        answer |= {"recipient": result.recipient, "campaign": result.campaign, "day": day}
    if as_json:
        print_json(answer)
    else:
        print(", ".join(text if name == "result" else f"{name} {text}" for name, text in answer.items()))
    return Exit.YES if isinstance(result, Verified) else Exit.NO


def _needed(settings: FeedbackSettings) -> tuple[bytes, ...]:
    keys = keys_of(settings)
    if not keys:
        raise UsageError("feedback.verp_key_file is not set; it names the secret that signs")
    return keys


def _key(name: str, path: str) -> bytes:
    try:
        key = Path(path).read_bytes().removesuffix(b"\n")
    except OSError as error:
        raise SettingsError([f"feedback.{name}: {error}"]) from None
    if not LEAST_KEY_OCTETS <= len(key) <= MOST_KEY_OCTETS:
        raise SettingsError(
            [f"feedback.{name}: must hold {LEAST_KEY_OCTETS} to {MOST_KEY_OCTETS} bytes, holds {len(key)}"]
        )
    return key
