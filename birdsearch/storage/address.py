"""The address of an index: the path of its folder, or one URL that names its catalog, its parts and its vectors."""

import difflib
import os
import re
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from birdsearch.errors import IndexAddressError
from birdsearch.words import shown, without_secrets

SCHEME = "birds+postgresql"
LOCAL = "birds+sqlite"  # a folder as any other, for those that keep its engine on a server
EXAMPLE = f"{SCHEME}://HOST/DATABASE?index=NAME&parts=FOLDER"
STORES = ("s3", "gs", "az")  # schemes of object stores that can hold parts
_DRIVER = "postgresql+psycopg"
_OWN = ("index", "parts", "vectors")  # options of an address
_OF_LIBPQ = ("host", "service", "sslmode", "sslrootcert")  # that are handed to libpq
_SECRET = re.compile("pass|secret|token|key|credential", re.IGNORECASE)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/(/?)")
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Address:
    """Where an index lies. `str` gives it as it is typed; nothing in it is secret.

    >>> Address.parse("birds+postgresql://db/birds?index=museum&parts=/mnt/museum").name
    'museum'
    """

    catalog: str  # an SQLAlchemy URL without a password, or "": SQLite in the folder
    name: str  # of the index in that database
    parts: str  # an absolute path, or the URL of an object store
    vectors: str  # the URL of a vector database, or "": the engine is a file beside the parts

    @classmethod
    def parse(cls, text: "str | os.PathLike[str] | Address") -> "Address":
        """The address that a path or a URL gives. Raises IndexAddressError, which says what to write."""
        if isinstance(text, Address):
            return text
        typed = os.fsdecode(text)
        url = _URL.match(typed)
        if url is None or not (url[2] or url[1] in (SCHEME, LOCAL) or url[1] in STORES):
            return cls("", "", os.path.abspath(typed), "")
        if not isinstance(text, str) or not url[2]:
            raise IndexAddressError(
                f"the address {shown(without_secrets(typed))} was taken for a path, which has shortened its //: "
                "give it as a text, not as a Path."
            )
        if url[1].lower() == LOCAL:
            return cls._of_folder(typed)
        if url[1].lower() != SCHEME:
            raise IndexAddressError(_other_scheme(url[1].lower(), typed))
        address = cls._of_url(typed)
        for option in _OWN[:2]:
            if not getattr(address, "name" if option == "index" else option):
                raise _wrong(f"it lacks {_LACKING[option]}")
        return address

    @classmethod
    def of_database(cls, text: str) -> "Address":
        """The address of a database, of which it does not matter which index is named, nor where its parts lie.

        Raises IndexAddressError.
        """
        url = _URL.match(text)
        if url is None or not url[2] or url[1].lower() != SCHEME:
            raise IndexAddressError(f"{shown(without_secrets(text))} names no database: write {SCHEME}://HOST/DATABASE")
        return replace(cls._of_url(text), name="", parts="", vectors="")

    @classmethod
    def _of_folder(cls, typed: str) -> Self:
        """The address of an index whose catalog is SQLite in its folder: birds+sqlite:///FOLDER?vectors=URL."""
        place, _, query = typed.partition("://")[2].partition("?")
        options = _options(query)
        if not place.startswith("/") or options.keys() - {"vectors"}:
            raise _wrong(f"an index in a folder is {LOCAL}:///FOLDER?vectors=milvus://HOST:19530 and no more.")
        return cls("", "", os.path.abspath(unquote(place)), _vectors(options.get("vectors", "")))

    @classmethod
    def _of_url(cls, typed: str) -> Self:
        place, _, query = typed.partition("://")[2].partition("?")
        options = _options(query)
        known = (*_OWN, *_OF_LIBPQ)
        for option in options:
            if _SECRET.search(option):
                raise _wrong(f"{option}= would be kept and shown with the address. {_HOW_SECRET}")
            if option not in known:
                close = difflib.get_close_matches(option, known, n=1)
                meant = f"Did you mean {close[0]}=?" if close else f"There are {', '.join(f'{one}=' for one in known)}."
                raise _wrong(f"{shown(option)}= is no option of an address. {meant}")
        libpq = "&".join(f"{name}={quote(options[name], safe='/')}" for name in _OF_LIBPQ if name in options)
        catalog = f"{_DRIVER}://{_server(place, options)}" + (f"?{libpq}" if libpq else "")
        name, parts, vectors = (options.get(option, "") for option in _OWN)
        return cls(catalog, name and _name(name), parts and _parts(parts), _vectors(vectors))

    def __str__(self) -> str:
        if not self.catalog:
            if not self.vectors:
                return self.parts
            return f"{LOCAL}://{quote(self.parts, safe='/~')}?vectors={quote(self.vectors, safe='/:~')}"
        server, _, libpq = self.catalog.removeprefix(f"{_DRIVER}://").partition("?")
        options = {"index": self.name, "parts": self.parts, "vectors": self.vectors}
        own = [f"{name}={quote(value, safe='/:~')}" for name, value in options.items() if value]
        asked = "&".join([*own, libpq] if libpq else own)
        return f"{SCHEME}://{server}" + (f"?{asked}" if asked else "")


_HOW_SECRET = (
    "Leave it out: PostgreSQL reads the password from PGPASSWORD, ~/.pgpass or a service file, an object store and a "
    "vector database theirs from their own variables (AWS_SECRET_ACCESS_KEY, MILVUS_TOKEN, …)."
)
_LACKING = {
    "index": "the name of the index: add index=NAME.",
    "parts": "the place of the vectors: add parts=FOLDER, a folder that every host reaches by this path, or "
    "parts=s3://BUCKET/PREFIX.",
}


def _wrong(why: str) -> IndexAddressError:
    """The error for an address; what was typed is not repeated, for it may hold a secret."""
    return IndexAddressError(f"this address names no index: {why} An address looks like {EXAMPLE}")


def _other_scheme(scheme: str, typed: str) -> str:
    """What to say of a URL that is no address of an index."""
    where = shown(without_secrets(typed))
    if scheme.startswith(("postgres", "birds+postgres")):
        return (
            f"{where} names a database, not an index: write {EXAMPLE}. The scheme is {SCHEME}, index= names one of the "
            "indexes of that database, and parts= says where its vectors lie."
        )
    if scheme in STORES:
        return f"an index in an object store has its catalog in PostgreSQL: write {EXAMPLE[:-6]}{where}"
    return f"{where} is no address of an index: give the path of a folder, or {EXAMPLE}"


def _options(query: str) -> dict[str, str]:
    """The options behind the question mark, each once."""
    options: dict[str, str] = {}
    for option in filter(None, query.split("&")):
        name, _, value = option.partition("=")
        if name in options:
            raise _wrong(f"{shown(name)}= is given twice.")
        options[name] = unquote(value)
    return options


def _server(place: str, options: dict[str, str]) -> str:
    """USER@HOST:PORT/DATABASE, as far as they are given: libpq knows the rest from its environment."""
    try:
        split = urlsplit(f"//{place}")
        if split.password is not None or place.count("@") > 1:
            raise _wrong(f"it holds a password, which would be kept and shown with it. {_HOW_SECRET}")
        _ = split.port
    except ValueError as error:
        if isinstance(error, IndexAddressError):
            raise
        raise _wrong("its host or port cannot be read.") from error
    database = split.path.strip("/")
    if "/" in database or split.fragment:
        raise _wrong("what stands behind the host is the name of one database.")
    if not database and "service" not in options:
        raise _wrong("it lacks the name of the database.")
    return f"{split.netloc}/{database}"


def _name(name: str) -> str:
    if not name.strip() or not name.isprintable() or "/" in name or len(name) > _LONGEST_NAME:
        raise _wrong(f"{name!r:.80} is no name of an index: give a name such as garden.")
    return name


def _parts(place: str) -> str:
    url = _URL.match(place)
    if url is None or not url[2]:
        folder = os.path.expanduser(place)
        if not os.path.isabs(folder):
            raise _wrong(f"parts={shown(place)} is no full path: it would mean another folder wherever it is used.")
        return os.path.abspath(folder)
    if url[1].lower() not in STORES:
        stores = ", ".join(f"{scheme}://" for scheme in STORES)
        raise _wrong(f"parts= takes a folder or an object store ({stores}), not {shown(url[1])}://.")
    return _without_secret(place, "parts").rstrip("/")


def _vectors(place: str) -> str:
    url = _URL.match(place)
    if place and (url is None or not url[2]):
        raise _wrong("vectors= takes the URL of a vector database, such as milvus://HOST:19530.")
    from birdsearch.search import engine  # of few addresses

    if url is not None and not engine.is_offered(kind := url[1].partition("+")[0]):
        raise _wrong(f"no installed package searches at {shown(kind)}://. Milvus is vectors=milvus://HOST:19530.")
    return _without_secret(place, "vectors")


def _without_secret(url: str, option: str) -> str:
    """The URL. Raises IndexAddressError where it has a user, a password or options of its own."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise _wrong(f"the URL of {option}= holds a user or a password. {_HOW_SECRET}")
    if "?" in url or "#" in url:
        raise _wrong(f"the URL of {option}= has options of its own, which are not taken. {_HOW_SECRET}")
    return url
