"""`sendgate parse`: what messages or logs say about recipients. Nothing is changed.

In: bounces, complaints and other messages; with `--log`, logs of Postfix. Out: a line for each message, or for each
delivery event of a log. Refused: files that cannot be read; rules and keys that cannot be used.
"""

from __future__ import annotations

from typing import Annotated

import typer

from sendgate.cli.options import ConfigOption, JsonOption, settings_of


def parse(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Messages, mboxes, maildirs, folders; or logs. Gzipped or not; - is stdin."
        ),
    ],
    log: Annotated[bool, typer.Option("--log", help="The files are logs of Postfix.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Tell what bounces, complaints or logs say, and what feedback would make of it. Changes nothing."""
    settings = settings_of(context, config)
    if log:
        from sendgate.cli.parse_log import parse_log  # here, so that one does not pay for the other

        return parse_log(settings, files, as_json=as_json)
    from sendgate.cli.parse_mail import parse_mail

    return parse_mail(settings, files, as_json=as_json)
