"""A PostgreSQL server that the tests start themselves, on a socket in a temporary folder; and databases in it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

import pytest
import sqlalchemy as sa

from birdsearch.storage.address import Address

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/bin")
USER = "birds"
HOST = "BIRDSEARCH_TEST_POSTGRESQL"  # environment variable: the folder of the socket of a server that takes paths
_SAFE = ("fsync=on", "full_page_writes=on", "synchronous_commit=on")  # where servers are killed
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_wal_size=1GB")


def programs() -> Path | None:
    """The folder of initdb and postgres, the newest; None where there is none."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).parent
    found_in = [path for place in _PLACES for path in sorted(Path("/").glob(place[1:])) if (path / "initdb").exists()]
    return found_in[-1] if found_in else None


@cache
def why_not() -> str | None:
    """Why there is no PostgreSQL for the tests, in words; None where there is."""
    if programs() is None:
        return "PostgreSQL is not installed: no initdb (apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        return f"psycopg cannot be used: {error}"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL does not run as root, and there is no runuser"
    return None


@cache
def _has_icu(found: Path) -> bool:
    """Whether the server knows how languages sort; from PostgreSQL 15 on, where it was built so."""
    return b"--icu-locale" in subprocess.run([found / "initdb", "--help"], check=True, capture_output=True).stdout


def _as_user(command: Sequence[str]) -> list[str]:
    """PostgreSQL refuses to run as root: the user that its package makes runs it."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else list(command)


def take_paths(patch: pytest.MonkeyPatch, host: str) -> None:
    """From now on a path is the address of an index in the server with its socket in this folder."""
    parse = Address.parse

    def parsed(given: str | os.PathLike[str] | Address) -> Address:
        address = parse(given)
        if address.catalog:
            return address
        name = sha256(os.fsencode(address.parts)).hexdigest()[:16]
        return replace(address, catalog=f"postgresql+psycopg://{USER}@/postgres?host={host}", name=name)

    patch.setattr(Address, "parse", parsed)


@dataclass
class Server:
    """One server with a data folder of its own."""

    folder: Path
    safe: bool = False  # whether it survives a kill
    _process: "subprocess.Popen[bytes] | None" = None
    _databases: int = field(default=0)

    @classmethod
    def made(cls, *, safe: bool = False) -> "Server":
        """A new one, running. Its folder has a short name: a socket's path has at most 107 bytes."""
        found = programs()
        assert found is not None
        server = cls(Path(mkdtemp(prefix="birds-pg-")), safe)
        if os.geteuid() == 0:
            shutil.chown(server.folder, "postgres")
        server.folder.chmod(0o755)
        options = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        # As most servers do it, this one sorts texts as a language does, where what is not told otherwise.
        options += ["--locale-provider=icu", "--icu-locale=en-US"] if _has_icu(found) else []
        made = _as_user([str(found / "initdb"), f"--pgdata={server.folder}/data", *options])
        subprocess.run(made, check=True, capture_output=True, cwd="/")
        server.start()
        return server

    def start(self) -> None:
        """Start it, and wait until it answers."""
        found = programs()
        assert found is not None
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", "max_connections=60"]
        settings += ["shared_buffers=32MB", *(_SAFE if self.safe else _FAST)]
        options = [word for one in settings for word in ("-c", one)]
        with (self.folder / "log").open("ab") as log:
            command = _as_user([str(found / "postgres"), "-D", f"{self.folder}/data", *options])
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", start_new_session=True)
        end = time.monotonic() + 120
        while True:
            try:
                with self.engine("postgres").connect():
                    return
            except sa.exc.OperationalError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Of the first of its processes."""
        return int((self.folder / "data/postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """SIGKILL to the first process; the others end with it, as after a crash of the machine."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(60)

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self.pid, signal.SIGQUIT)
            self._process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def engine(self, database: str) -> sa.Engine:
        """Connections to one database, for what tests do by hand."""
        url = f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"
        return sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")

    def new_database(self) -> str:
        """The name of a new, empty database."""
        self._databases += 1
        name = f"test{os.getpid()}_{self._databases}"
        with self.engine("postgres").connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        return name

    def takes_paths(self, patch: pytest.MonkeyPatch) -> None:
        """From now on a path is the address of an index in this server, also for the workers of the tests."""
        patch.setenv(HOST, str(self.folder))
        take_paths(patch, str(self.folder))

    def address(self, parts: Path | str, name: str = "garden", database: str = "postgres") -> str:
        """The address of an index in it."""
        catalog = f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"
        return str(Address(catalog, name, str(parts), ""))
