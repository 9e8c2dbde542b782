"""What names mean is found once: later processes read the answers, unless they are damaged, foreign or out of date."""

import json
from pathlib import Path

import pytest

from tests.support.interpreter import python

NAMES = ["Wren", "PARUS MAJOR", "Gray Jay", "Kernbeißer", "house wren", "amerob", "no bird at all", "Larus sp."]
ASK = f"""
from birdsearch.taxonomy import avilist, resolve
print(resolve.resolve_many({NAMES!r}))
print("LISTS READ", avilist.older_names.cache_info().misses)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_second_process_gives_the_same_answers_and_reads_no_list(cache: Path) -> None:
    first, second = python(ASK), python(ASK)
    assert first.replace("LISTS READ 1", "LISTS READ 0") == second
    assert "LISTS READ 1" in first


def test_a_damaged_memory_is_found_anew(cache: Path) -> None:
    first = python(ASK)
    (file,) = cache.glob("names-*.json")
    for damaged in ('{"recognised": {"Wren": [1]}}', "[]", '{"recognised": 3}', "\0", file.read_text()[:-9]):
        file.write_text(damaged)
        assert python(ASK) == first, damaged


def test_what_another_user_may_have_written_is_not_believed(cache: Path) -> None:
    first = python(ASK)
    (file,) = cache.glob("names-*.json")
    kept = json.loads(file.read_text())
    kept["recognised"]["Wren"] = kept["recognised"]["PARUS MAJOR"]
    file.write_text(json.dumps(kept))
    assert python(ASK) != first.replace("LISTS READ 1", "LISTS READ 0")  # this user's own is believed
    cache.chmod(0o777)
    assert python(ASK) == first


def test_without_a_place_to_keep_them_names_are_resolved_all_the_same(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = python(ASK)
    monkeypatch.setenv("BIRDSEARCH_CACHE", "/proc/none")
    assert python(ASK) == expected


def test_answers_of_other_lists_or_rules_go(cache: Path) -> None:
    cache.mkdir(mode=0o700)
    (cache / "names-0123456789abcdef.json").write_text("{}")
    python(ASK)
    assert [file.name for file in cache.glob("names-*.json")] != ["names-0123456789abcdef.json"]
    assert len(list(cache.glob("names-*.json"))) == 1


HAMMER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from birdsearch.taxonomy import meaning, remembered
remembered.LARGEST = 1
sys.setswitchinterval(1e-6)
ask = remembered.remembered(meaning.unresolved)
with ThreadPoolExecutor(4) as pool:
    print(all(pool.map(lambda n: ask(str(n % 5)).name == str(n % 5), range(20_000))))
"""


def test_threads_that_ask_while_a_full_memory_is_emptied_get_their_answers(cache: Path) -> None:
    assert python(HAMMER) == "True\n"
