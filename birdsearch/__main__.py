"""`birdsearch` and `python -m birdsearch`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being loaded ends as quietly as later."""
    try:
        from birdsearch.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
