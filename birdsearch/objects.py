"""Objects that an URL names: in a store of a cloud (s3, gs, az) or on the web (http, https). The one user of obstore.

Whatever goes wrong is a RemoteError; rights and endpoints come from the environment, as the
libraries of each cloud read them (AWS_..., GOOGLE_..., AZURE_...).
"""

import errno
import json
import os
import re
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from birdsearch.cache import KeptTable, kept_file
from birdsearch.errors import InstallationError, RemoteError
from birdsearch.files import FileState, shard_of
from birdsearch.records import batched
from birdsearch.words import shown, without_secrets

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az", "http", "https")
_RETRIES = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_CONNECT = timedelta(seconds=10)
_DELETED_TOGETHER = 1000  # objects
_SAME = {"s3a": "s3", "gcs": "gs", "azure": "az", "abfs": "az", "abfss": "az", "adl": "az"}
NOTHING = FileState()
# A user with a password, or a signature that opens an address to whoever has it.
_HOLDS_SECRET = re.compile(
    r"^\w+://[^/?#@]*:[^/?#@]*@|[?&](?:X-Amz-|X-Goog-|sig=|[^=&]*(?:token|secret|password))", re.IGNORECASE
)
_SECRET = "the address holds a password or a signature, which would be kept with the photo: leave it out"
# Environment: where a store is; the last one is JSON, which may say so.
_ENDPOINTS = (
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "GOOGLE_SERVICE_ACCOUNT_KEY",
)  # fmt: skip
_ANONYMOUS = "BIRDSEARCH_ANONYMOUS"  # environment: "1" reads public buckets without credentials


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing, or the answer to a request, tells of it."""

    url: str
    state: FileState


def holds_secret(url: str) -> bool:
    """Whether an address holds what opens it to whoever has it: a password or a signature."""
    return _HOLDS_SECRET.search(url) is not None


def is_of_computer(reason: str) -> bool:
    """Whether the reason why an object could not be read lies with the computer that asked for it."""
    return reason.startswith(_OF_COMPUTER)


# Reading ------------------------------------------------------------------------------------------------------------


def listed(url: str, after: str = "") -> Iterator[StoredObject]:
    """Every object below an URL, in the order in which the store lists them; a page of them is held at a time.

    `after` leaves out those whose names below the URL come before it. Raises RemoteError, also in the middle. A web
    server lists nothing.
    """
    place = _Place.of(url)
    if place.is_web:
        raise RemoteError(
            errno.ENOTSUP, "a web server has no listing: give the addresses of its photos in a --list", url
        )
    found = _keys(place, place.key, f"{place.key}/{after}".lstrip("/") if after else "")
    with _translated(url):
        for meta in found:
            yield StoredObject(f"{place.base}/{meta['path']}", _state(meta))


def _keys(place: "_Place", prefix: str, offset: str) -> Iterator[Any]:
    """What obstore tells of the objects below a prefix that come behind another key.

    It refuses whole pages of a listing for one key that its own paths cannot be, such as a//b: then each folder is
    listed by itself, and what lies beside such a key behind it. The first error is raised when all others were listed.
    """
    obstore, store = _obstore(), _store(place.base)
    try:
        for page in obstore.list(store, prefix=prefix or None, offset=offset or None):
            for meta in page:
                yield meta
                offset = meta["path"]
        return
    except obstore.exceptions.InvalidPathError as error:
        odd = error
    try:
        listing = obstore.list_with_delimiter(store, prefix=prefix or None)
    except obstore.exceptions.InvalidPathError as error:
        yield from _keys(place, prefix, _behind(_odd_key(odd)))
        raise odd from error
    yield from (meta for meta in listing["objects"] if meta["path"] > offset)
    for folder in listing["common_prefixes"]:
        with suppress(obstore.exceptions.InvalidPathError):
            yield from _keys(place, folder, offset)
    raise odd


def _behind(key: str) -> str:
    """What sorts right behind a key that cannot be listed, and what is like it."""
    odd = _ODD.search(key)
    if odd is None:
        return key
    if odd[0] == "//":
        return key[: odd.start()] + "/0"  # the digit follows the slash
    return key[: odd.end()] + "0" if odd[0].startswith("/") else key[: odd.start()] + max(" ", chr(ord(odd[0]) + 1))


def folders(url: str) -> list[str]:
    """The names between an URL and the next slash of what lies below it. Raises RemoteError."""
    place = _Place.of(url)
    with _translated(url):
        listing = _obstore().list_with_delimiter(_store(place.base), prefix=place.key or None)
        return [prefix.strip("/").rpartition("/")[2] for prefix in listing["common_prefixes"]]


def found(url: str) -> Iterator[StoredObject]:
    """The object that an URL names, or those that lie below it. Raises RemoteError."""
    if (state := state_of(url)) is not None:
        yield StoredObject(url, state)
    elif not _Place.of(url).is_web and shard_of(os.fsencode(url)) is None:
        # An object that is called as the folder and ends with a slash is the mark of that folder.
        yield from (one for one in listed(url) if one.url != url)


def state_of(url: str) -> FileState | None:
    """What is known of an object without reading it; None where there is none. Raises RemoteError."""
    if shard_of(os.fsencode(url)) is not None:
        return member_state(url)
    place = _Place.of(url)
    if not (place.key or place.is_web):
        return None  # a bucket
    try:
        with _translated(url):
            return _state(_obstore().head(_store(place.base), place.key))
    except FileNotFoundError:
        return None


def has_any(url: str) -> bool:
    """Whether anything lies below an URL. Raises RemoteError."""
    return next(listed(url), None) is not None


@contextmanager
def opened(url: str, known: FileState = NOTHING) -> Iterator[tuple[FileState, Iterator[bytes]]]:
    """An object block by block, and what is known of it; `known` spares the search in a tar file.

    Raises FileNotFoundError or RemoteError.
    """
    shard = shard_of(os.fsencode(url))
    if shard is not None and known.offset is None:
        if (found := member_state(url)) is None:
            raise FileNotFoundError(errno.ENOENT, "no longer there", url)
        known = found
    place = _Place.of(url if shard is None else os.fsdecode(shard[0]))
    options: Any = {}
    if shard is not None and known.offset is not None:
        options = {"range": (known.offset, known.offset + (known.size or 0))}
    with _translated(url):
        result = _obstore().get(_store(place.base), place.key, options=options)
        state = _state(result.meta)
        if shard is not None:
            if known.etag and known.etag != state.etag:
                raise RemoteError(errno.ESTALE, "the tar file has changed since it was listed: index it again", url)
            state = FileState(known.size, 0, etag=state.etag, offset=known.offset)
        yield state, (bytes(block) for block in result.stream(min_chunk_size=1 << 16))


def read(url: str) -> bytes:
    """All bytes of an object. Raises FileNotFoundError or RemoteError."""
    with opened(url) as (_, blocks):
        return b"".join(blocks)


def members(url: str, shard: FileState) -> Iterator[StoredObject]:
    """The files in a tar file, as FILE.tar#NAME, with the place of each; its headers are read once for each content.

    Of several of one name the last counts, as where it is unpacked. Raises FileNotFoundError or RemoteError.
    """
    for name, (offset, size) in (_places_in(url, shard) if shard.etag else _places(url)).items():
        yield StoredObject(f"{url}#{name}", FileState(size, 0, etag=shard.etag, offset=offset))


_Places = dict[str, tuple[int, int]]  # name -> offset and size


@lru_cache(maxsize=16)
def _places_in(url: str, shard: FileState) -> _Places:
    """The files in a tar file, as the user's cache knows them of its content."""
    places = _kept_places(url, shard)
    if places is None:
        places = _places(url)
        _keep_places(url, shard, places)
    return places


def _places(url: str) -> _Places:
    """The files in a tar file."""
    import tarfile

    place, found = _Place.of(url), {}
    with _translated(url):
        reader = _Seekable(_obstore().open_reader(_store(place.base), place.key))
        try:
            with tarfile.open(fileobj=reader, mode="r:") as archive:  # type: ignore[call-overload]
                for member in archive:
                    if member.isfile() and not member.issparse():
                        found[member.name] = member.offset_data, member.size
                reader.seek(archive.offset)
                if not reader.read(tarfile.BLOCKSIZE):  # the mark of its end is missing: it was cut off between files
                    raise tarfile.ReadError
        except (tarfile.TarError, EOFError, ValueError, UnicodeError) as error:
            raise RemoteError(errno.EINVAL, "not a whole tar file", url) from error
    return found


class _Seekable:
    """What `tarfile` reads of an object, as bytes."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def read(self, size: int) -> bytes:
        return bytes(self._reader.read(size))

    def seek(self, position: int) -> int:
        return int(self._reader.seek(position))

    def tell(self) -> int:
        return int(self._reader.tell())


_SHARDS = KeptTable(
    lambda: kept_file("shards.sqlite"),
    ("CREATE TABLE IF NOT EXISTS shards (url TEXT PRIMARY KEY, etag TEXT, size INTEGER, members BLOB)",),
)


def _kept_places(url: str, shard: FileState) -> _Places | None:
    """What the user's cache knows of a tar file; None where that is nothing, or of another content."""
    with _SHARDS.trying() as table:
        if table is not None:
            found = table.execute("SELECT etag, size, members FROM shards WHERE url = ?", (url,)).fetchone()
            if found is not None and found[:2] == (shard.etag, shard.size):
                try:
                    return {str(n): (int(o), int(s)) for n, o, s in json.loads(zlib.decompress(found[2]))}
                except (ValueError, TypeError, zlib.error):
                    return None
    return None


def _keep_places(url: str, shard: FileState, places: _Places) -> None:
    with _SHARDS.trying() as table:
        if table is not None:
            with table:
                rows = [(name, offset, size) for name, (offset, size) in places.items()]
                packed = zlib.compress(json.dumps(rows).encode())
                table.execute(
                    "INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?)", (url, shard.etag, shard.size, packed)
                )


def member_state(url: str) -> FileState | None:
    """The place of a file in a tar file; None where the tar file, or the file in it, is not there."""
    named = shard_of(os.fsencode(url))
    if named is None or (known := state_of(shard := os.fsdecode(named[0]))) is None:
        return None
    places = _places_in(shard, known) if known.etag else _places(shard)
    offset, size = places.get(os.fsdecode(named[1]), (None, None))
    return None if offset is None else FileState(size, 0, etag=known.etag, offset=offset)


# Writing ------------------------------------------------------------------------------------------------------------


def write(url: str, data: bytes | Path, *, new: bool = False) -> None:
    """Put bytes or a file in place, whole or not at all. FileExistsError with `new` where one is; else RemoteError."""
    place = _Place.of(url)
    with _translated(url):
        _obstore().put(_store(place.base), place.key, data, mode="create" if new else "overwrite")


def delete(urls: Iterable[str]) -> None:
    """Remove objects, many with one request; one that is not there is no error. Raises RemoteError."""
    for together in batched(urls, _DELETED_TOGETHER):
        places = [_Place.of(url) for url in together]
        for base in dict.fromkeys(place.base for place in places):
            keys = [place.key for place in places if place.base == base]
            try:
                with _translated(base):
                    _obstore().delete(_store(base), keys)
            except FileNotFoundError:  # some stores say so, and then leave the rest
                for key in keys:
                    with suppress(FileNotFoundError), _translated(f"{base}/{key}"):
                        _obstore().delete(_store(base), key)


# Stores -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an object lies: the store, as an URL, and the key in it."""

    base: str  # scheme://bucket, or that of a web address
    key: str
    is_web: bool

    @classmethod
    def of(cls, url: str) -> "_Place":
        scheme, _, rest = url.partition("://")
        scheme = _SAME.get(scheme.lower(), scheme.lower())
        if scheme not in SCHEMES:
            known = ", ".join(f"{name}://" for name in SCHEMES)
            raise RemoteError(errno.ENOTSUP, f"addresses that are read begin with {known}", url)
        if not rest.strip("/"):
            raise RemoteError(errno.EINVAL, "a bucket is missing: write scheme://bucket/prefix", url)
        if holds_secret(url):
            raise RemoteError(errno.EINVAL, _SECRET, without_secrets(url))
        if scheme in ("http", "https"):
            parts = urlsplit(url)
            base, key = f"{scheme}://{parts.netloc}", unquote(parts.path).strip("/")
            # What the store would write otherwise is asked for as it stands.
            if parts.query or quote(key, safe="/") != parts.path.strip("/"):
                return cls(url, "", True)
            return cls(base, key, True)
        bucket, _, key = rest.partition("/")
        return cls(f"{url.partition('://')[0]}://{bucket}", key.strip("/"), False)


def _obstore() -> Any:
    try:
        import obstore
    except ImportError as error:
        how = 'what lies in stores of objects needs obstore: pip install "birdsearch[cluster]"'
        raise InstallationError(how) from error
    return obstore


@lru_cache(maxsize=256)
def _store_of_process(base: str, environment: tuple[tuple[str, str], ...], _process: int) -> "ObjectStore":
    from obstore.store import from_url

    scheme, _, bucket = base.partition("://")
    given = dict(environment)
    config: dict[str, Any] = {}
    if scheme not in ("http", "https") and given.get(_ANONYMOUS) == "1":
        config["skip_signature"] = True
    plain = scheme == "http" or any("http://" in given.get(name, "") for name in _ENDPOINTS)
    options: Any = {"connect_timeout": _CONNECT, "allow_http": plain}
    if scheme in ("s3", "s3a") and (endpoint := next((given[name] for name in _ENDPOINTS[:3] if given.get(name)), "")):
        config["endpoint"] = endpoint
    with _translated(base):
        known = f"{_SAME[scheme]}://{bucket}" if scheme == "gcs" else base
        return from_url(known, client_options=options, retry_config=_RETRIES, **config)  # type: ignore[call-overload,no-any-return]


_lock = threading.Lock()


def _store(base: str) -> "ObjectStore":
    """The store of an URL: made once for each environment, and anew in a child process."""
    _obstore()
    prefixes = ("AWS_", "GOOGLE_", "AZURE_", "BIRDSEARCH_ANON")
    environment = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(prefixes)))
    with _lock:
        return _store_of_process(base, environment, os.getpid())


def _state(meta: Any) -> FileState:
    """What a store tells of an object; its time, where it has one, stands for an ETag that is not given."""
    etag, moment = meta["e_tag"], meta["last_modified"]
    if etag is None:
        etag = "" if not moment or not moment.timestamp() else moment.isoformat()
    return FileState(meta["size"], 0, etag=etag)


# Errors -------------------------------------------------------------------------------------------------------------

_ODD = re.compile(r"//|/\.\.?(?=/|$)|[\x00-\x1f\x7f]")  # in a key: what paths of obstore cannot have
_NAMED = re.compile(r'Path "(.*?)"(?: contained|: Enc)', re.DOTALL)
_CODE = re.compile(r"status code: (\d{3})")
_NO_STORE = "this names no store: write s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
_REASONS = (  # what the text of an error holds -> number, and what it means
    ("NoSuchBucket", errno.ENOENT, "there is no such bucket"),
    ("ContainerNotFound", errno.ENOENT, "there is no such container"),
    ("InvalidAccessKeyId", errno.EACCES, "the store knows no such access key"),
    ("SignatureDoesNotMatch", errno.EACCES, "the secret key is not the one of this access key"),
    ("ExpiredToken", errno.EACCES, "the credentials have expired"),
    ("/latest/api/token", errno.EACCES, "no credentials were found"),
    ("computeMetadata", errno.EACCES, "no credentials were found"),
    ("MissingAccount", errno.EACCES, "no credentials were found"),
    ("MissingKey", errno.EACCES, "no credentials were found"),
    ("token request", errno.EACCES, "no credentials were found"),
    ("recognise URL", errno.EINVAL, _NO_STORE),
    ("known pattern", errno.EINVAL, _NO_STORE),
    ("Content-Length", errno.EIO, "the server does not say how long it is"),
    ("timed out", errno.ETIMEDOUT, "it does not answer in time"),
    ("dns error", errno.EHOSTUNREACH, "there is no such host, or no network"),
    ("Connection refused", errno.ECONNREFUSED, "nothing answers there"),
    ("error sending request", errno.EHOSTUNREACH, "it cannot be reached"),
)
# Why an object could not be read that lies with the computer which asked: its credentials, or where it looks.
_OF_COMPUTER = tuple(why for _, number, why in _REASONS if number in (errno.EACCES, errno.ENOENT, errno.EHOSTUNREACH))
_CODES = {
    "401": "the store refuses these credentials (401)",
    "403": "no permission (403)",
    "404": "there is no such bucket or object (404)",
    "429": "it has too many requests (429)",
    "503": "it has too many requests (503)",
}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, the path of a key file",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """What obstore raises becomes an OSError in words, without the texts of the server, which may hold secrets."""
    refused = _obstore().exceptions
    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):  # of a whole bucket nothing is told by what is not in it
            raise RemoteError(errno.ENOENT, "there is no such bucket", url) from error
        raise FileNotFoundError(errno.ENOENT, "no longer there", url) from error
    except FileExistsError:
        raise
    except refused.AlreadyExistsError as error:
        raise FileExistsError(errno.EEXIST, "it is there already", url) from error
    except refused.InvalidPathError as error:
        raise RemoteError(
            errno.EINVAL,
            f"the key {shown(_odd_key(error))} has an empty folder name, a folder . or .. or a control character: "
            "neither this nor what lies beside it is certain to be found. Give it another name",
            url,
        ) from error
    except refused.BaseError as error:
        number, why = _reason(str(error), url)
        raise RemoteError(number, why, url) from error


def _odd_key(error: BaseException) -> str:
    """The key that obstore cannot list."""
    named = _NAMED.search(str(error))
    return named[1] if named else ""


def _reason(text: str, url: str) -> tuple[int, str]:
    """The number and the words for what obstore says."""
    for words, number, why in _REASONS:
        if words in text:
            return number, f"{why}: {_how_to_give(url)}" if why.startswith("no credentials") else why
    if (code := _CODE.search(text)) is not None:
        return errno.EACCES if code[1] in ("401", "403") else errno.EIO, _CODES.get(code[1], f"it answers {code[1]}")
    first = re.sub(r"\S+://\S+", "", text.split("\n")[0])
    return errno.EIO, shown(first[:200]).lower()


def _how_to_give(url: str) -> str:
    """How the credentials of a cloud are given."""
    scheme = url.partition("://")[0].lower()
    names = _CREDENTIALS.get(_SAME.get(scheme, scheme), _CREDENTIALS["s3"])
    return (
        f"give them in the environment as the tools of that cloud read them, such as {names}, or {_ANONYMOUS}=1 for a "
        "public bucket"
    )
