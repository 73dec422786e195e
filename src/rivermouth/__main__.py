"""The command `rivermouth`, also as `python -m rivermouth`."""

import os
import signal


def main() -> None:
    """Run the command line of this process and exit with its code.

    Reading the program takes a second or two, in which Ctrl-C ends it without a word: an exception could come up anywhere in
    what is being imported.
    """
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:  # else it is ignored, as of what a shell has in the background
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from rivermouth import cli  # noqa: PLC0415, see above

    signal.signal(signal.SIGINT, interrupt)
    cli.main()


if __name__ == "__main__":
    main()
