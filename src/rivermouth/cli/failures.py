"""What a failure comes to: one line on stderr, and an exit code."""

from collections.abc import Callable

import click
from sqlalchemy.exc import SQLAlchemyError

from rivermouth.errors import BadRequest, NoModel, ProviderFault, RivermouthError, Unavailable
from rivermouth.settings import SettingsError


class Unreachable(click.ClickException):
    """No server or model answers, one went away, or an address cannot be listened on."""

    exit_code = 3


def exit_code(work: Callable[[], object]) -> int:
    """The exit code that `work` comes to; whatever goes wrong is one line on stderr."""
    try:
        outcome = work()
    except (SettingsError, BadRequest) as error:
        return _failed(error, 2)
    except (ProviderFault, NoModel, Unavailable) as error:
        return _failed(error, 3)
    except (RivermouthError, OSError, SQLAlchemyError) as error:
        return _failed(error, 1)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    return outcome if isinstance(outcome, int) else 0


def _failed(error: Exception, code: int) -> int:
    click.echo(f"rivermouth: {str(error).splitlines()[0]}", err=True)
    return code
