"""A test that sends signals to its process runs alone in one: a signal that follows other tests was seen to end it."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.support import ROOT

_MARK = "BIRDSEARCH_TEST_ALONE"


def alone(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a pytest of its own."""

    @functools.wraps(test)
    def wrapper(*args: Any, **named: Any) -> None:
        if _MARK in os.environ:
            test(*args, **named)
            return
        place = f"{test.__code__.co_filename}::{test.__name__}"
        command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", place]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, _MARK: "1"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    return wrapper
