"""Commands run in this process, and what they printed."""

import csv
import io
import json
from typing import Any

from typer.testing import CliRunner

from birdsearch.cli import app

_runner = CliRunner()


class Answer:
    """What a command printed and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, str]]:
        """Standard output as CSV."""
        return list(csv.DictReader(io.StringIO(self.out)))


def invoke(*arguments: object, input: str | bytes | None = None) -> tuple[Answer, BaseException | None]:
    """What a command printed and how it ended, and the exception that ended it."""
    result = _runner.invoke(app, [str(argument) for argument in arguments], input=input)
    return Answer(result.exit_code, result.stdout, result.stderr), result.exception


def run(*arguments: object, code: int = 0, input: str | bytes | None = None) -> Answer:
    """A command in this process; it must end with `code` and never with a traceback."""
    answer, error = invoke(*arguments, input=input)
    assert "Traceback" not in answer.out + answer.err
    assert answer.code == code, f"exit {answer.code}\n{answer.out}\n{answer.err}\n{error!r}"
    return answer
