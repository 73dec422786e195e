"""`python -m rivermouth` is the command `rivermouth`."""

from rivermouth.cli import main

if __name__ == "__main__":
    main()
