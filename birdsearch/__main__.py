"""`python -m birdsearch`."""

from birdsearch.cli import main

main()
