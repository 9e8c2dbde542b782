"""For commands whose work is not the test's: an index that no network was needed for, and stand-ins for its methods."""

from typing import Any

import pytest

from birdsearch.index import Index
from tests.conftest import Garden, make_garden
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture(scope="session")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Garden:
    """A garden made once with a fake backbone, for tests that only read it."""
    return make_garden(tmp_path_factory.mktemp("garden"), FakeBackbone())


class IndexStub:
    """Stands in for methods of an index: remembers every call, answers with what it was given."""

    def __init__(self, patch: pytest.MonkeyPatch, answers: dict[str, Any]) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.answers = answers  # name of a method -> what it returns
        for name in answers:
            patch.setattr(Index, name, self._method(name))

    def _method(self, name: str) -> Any:
        def method(_: Index, *arguments: Any, **options: Any) -> Any:
            self.calls.append((name, arguments, options))
            return self.answers[name]

        return method

    def last(self, name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the last call of a method was given."""
        return next((arguments, options) for called, arguments, options in reversed(self.calls) if called == name)
