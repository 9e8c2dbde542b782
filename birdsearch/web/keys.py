"""Keys: the secrets by which a server knows who may see its photos, and who may change them."""

import hmac
import json
import os
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from birdsearch.cache import make_private
from birdsearch.homes import data_folder

EDIT, VIEW = "edit", "view"  # roles: EDIT may do all, VIEW looks and asks
_ONCE_SECONDS = 600.0  # for which a one-time link holds


@dataclass(frozen=True, slots=True)
class Keys:
    """The key of each role."""

    edit: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    view: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def role(self, key: str) -> str | None:
        """The role that a key gives, compared in constant time; None where it is none."""
        given = key.encode("utf-8", "surrogateescape")
        roles = [role for role in (EDIT, VIEW) if hmac.compare_digest(getattr(self, role).encode(), given)]
        return roles[0] if roles else None

    @staticmethod
    def file() -> Path:
        """Where the keys of this user are kept."""
        return data_folder() / "serve.json"

    @classmethod
    def kept(cls) -> "Keys":
        """The keys of this user, made at the first call and kept for them alone, so that bookmarks go on to work."""
        path = cls.file()
        with suppress(FileNotFoundError, ValueError, TypeError):
            return cls(**json.loads(path.read_bytes()))
        made = cls()
        make_private(path.parent)
        new = path.with_suffix(f".{secrets.token_hex(8)}")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            json.dump(asdict(made), file)
        os.replace(new, path)
        return made


class Links:
    """One-time links: each opens the door once, soon after it was made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._roles: dict[str, tuple[str, float]] = {}  # code -> role, until when

    def make(self, role: str) -> str:
        """The address, below that of the server, that gives a browser this role."""
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._roles[code] = role, time.monotonic() + _ONCE_SECONDS
        return f"/open?once={code}"

    def redeem(self, code: str) -> str | None:
        """The role of a link that was not used yet; None for any other."""
        with self._lock:
            role, until = self._roles.pop(code, (None, 0.0))
        return role if time.monotonic() < until else None
