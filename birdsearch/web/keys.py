"""Keys: the secrets by which a server knows who may see its photos, and who may change them."""

import hmac
import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from birdsearch.homes import data_folder, kept_secret

EDIT, VIEW = "edit", "view"  # roles: EDIT may do all, VIEW looks and asks
_FILE = "serve.json"
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
        return data_folder() / _FILE

    @classmethod
    def kept(cls) -> "Keys":
        """The keys of this user, made at the first call and kept for them alone, so that bookmarks go on to work."""
        made = kept_secret(_FILE, lambda: json.dumps(asdict(cls())).encode("ascii"))
        try:
            return cls(**json.loads(made))
        except (ValueError, TypeError):  # not whole: new ones
            cls.file().unlink()
            return cls.kept()


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
