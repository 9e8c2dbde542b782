"""Where indexes with a name lie: in the nearest folder `indexes`, looked for as git looks, or among the user's data."""

import difflib
import logging
import os
import secrets
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from birdsearch.arguments import checked
from birdsearch.cache import make_private
from birdsearch.records import shown

logger = logging.getLogger("birdsearch")

HOME = "indexes"


def data_folder() -> Path:
    """The folder of what only this user's birdsearch has: BIRDSEARCH_DATA, else the platform's place for data."""
    chosen = os.environ.get("BIRDSEARCH_DATA")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("birdsearch", appauthor=False)


def user_key() -> bytes:
    """A secret of this user on this computer, 32 bytes, made at the first call: what is signed with it is their own."""
    return kept_secret("user.key", lambda: secrets.token_bytes(32))


def kept_secret(name: str, make: Callable[[], bytes]) -> bytes:
    """What a file of the data folder holds, which only this user can read; it is made at the first call."""
    path = data_folder() / name
    with suppress(FileNotFoundError):
        return path.read_bytes()
    make_private(path.parent)
    new = path.with_suffix(f".{secrets.token_hex(8)}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(make())
    try:
        os.link(new, path)  # of two processes at once the first one counts
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
    return path.read_bytes()


def homes() -> list[Path]:
    """The folders in which a name is looked for, in this order; the last may not exist yet."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the current folder was deleted
        return [data_folder() / HOME]
    upwards = (folder / HOME for folder in (here, *here.parents))
    nearest = next((home for home in upwards if os.path.isdir(home) and _is_trusted(home)), None)
    users = data_folder() / HOME
    return [users] if nearest is None or nearest == users else [nearest, users]


def _is_trusted(home: Path) -> bool:
    """Whether a folder is the user's own or the system's: in /tmp, say, anybody could lay one above another's files."""
    if os.name == "nt" or home.stat().st_uid in (0, os.geteuid()):
        return True
    logger.warning("%s belongs to another user: name its indexes by their paths", shown(str(home)))
    return False


@checked
def find_index(name: str) -> Path:
    """The folder of the index of this name; where there is none yet, the folder in which it would be made.

    >>> index = birdsearch.open(birdsearch.find_index("garden"))
    """
    if not name.strip() or os.path.basename(name) != name:
        raise ValueError(f"{name!r} is no name of an index: give a name such as 'garden', or open a path")
    places = [home / name for home in homes()]
    found = [place for place in places if holds_index(place)]
    if len(found) > 1:
        used, other = (shown(str(place)) for place in found)
        logger.warning("%s is used; another index named %s lies at %s", used, shown(name), other)
    return next(iter(found or places))


def holds_index(folder: Path) -> bool:
    """Whether a folder is an index, be it a damaged one."""
    return any(os.path.exists(folder / file) for file in ("index.json", "catalog.sqlite"))


def indexes_in(home: Path) -> list[Path]:
    """The indexes that lie in a folder, by name."""
    try:
        return sorted(place for place in home.iterdir() if holds_index(place))
    except OSError:
        return []


def missing_words(folder: Path) -> str:
    """What to say where an index is asked for that is not there: what, where, and what next."""
    known = homes()
    named = folder.parent in known
    name, others = folder.name, [place for home in known if named for place in indexes_in(home)]
    if named:
        what = f"no index named {shown(name)} in {' or '.join(shown(str(home)) for home in known)}"
        option = "" if name == "default" else f" --index {shlex.quote(shown(name))}"
        if holds_index(Path(name)):
            return f"{what}. One lies in the current folder: --index {shlex.quote(shown(os.path.join('.', name)))}."
    else:
        what, others = f"no index at {shown(str(folder))}", indexes_in(folder.parent)
        for place in (home / name for home in known):
            if holds_index(place):  # who opens "garden" from Python names a path
                there = f"One named {shown(name)} is {shown(str(place))}"
                return f"{what}. {there}: birdsearch.find_index({name!r}) finds it."
        option = f" --index {shlex.quote(shown(str(folder)))}"
    close = difflib.get_close_matches(name, {place.name for place in others}, n=1)
    if close:
        return f"{what}. Did you mean {shown(close[0] if named else str(folder.parent / close[0]))}?"
    if name == "default" and named and len(others) == 1:
        return f"{what}. There is one named {shown(others[0].name)}: --index {shlex.quote(shown(others[0].name))}."
    there = " `birdsearch indexes` lists those that are there." if others and named else ""
    return f"{what}.{there} Make it with `birdsearch index DIR{option}`, in Python with birdsearch.create."
