"""Failures with an exit code of their own."""

import click


class Unreachable(click.ClickException):
    """No server or model answers, one went away, or an address cannot be listened on."""

    exit_code = 3
