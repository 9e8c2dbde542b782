"""The address of an index: what it may be, what it may not hold, and that it is taken wherever a path is."""

import logging
import os
from pathlib import Path

import pytest

import birdsearch
from birdsearch.errors import IndexAddressError
from birdsearch.storage.address import Address
from tests.support.command_line import run

FULL = "birds+postgresql://me@db.example:5433/birds?index=museum&parts=s3://bucket/birds&vectors=milvus://m:19530"


def test_a_path_is_the_address_of_its_folder(tmp_path: Path) -> None:
    assert Address.parse(tmp_path) == Address("", "", str(tmp_path), "")
    assert Address.parse("indexes/garden").parts == os.path.abspath("indexes/garden")
    assert str(Address.parse(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize("path", ["C:/photos", "a:b", "c:\\birds", "odd name?index=1", "s3"])
def test_what_only_resembles_a_url_is_a_path(path: str) -> None:
    assert Address.parse(path).parts == os.path.abspath(path)


def test_a_url_names_catalog_parts_and_vectors() -> None:
    catalog = "postgresql+psycopg://me@db.example:5433/birds"
    assert Address.parse(FULL) == Address(catalog, "museum", "s3://bucket/birds", "milvus://m:19530")


@pytest.mark.parametrize(
    "text",
    [
        FULL,
        "birds+postgresql://db/birds?index=museum&parts=/mnt/a%20folder%26more%25+plus",
        "birds+postgresql:///birds?index=Mus%C3%A9e%20d'hiver&parts=/mnt/x&host=/run/postgresql&sslmode=require",
        "birds+postgresql:///?index=museum&parts=/mnt/x&service=museum",
        "birds+postgresql://[::1]:5432/birds?index=museum&parts=/mnt/x",
    ],
)
def test_an_address_is_typed_as_it_is_printed(text: str) -> None:
    address = Address.parse(text)
    assert Address.parse(str(address)) == address
    assert str(address).startswith("birds+postgresql://")
    assert Address.parse(address) is address


@pytest.mark.parametrize("text", ["birds+postgresql://db/birds", "birds+postgresql://db/birds?sslmode=require"])
def test_an_address_of_a_database_is_typed_as_it_is_printed(text: str) -> None:
    assert str(Address.of_database(text)) == text
    assert str(Address.of_database(f"{text}{'&' if '?' in text else '?'}index=raw")) == text


def test_a_folder_of_parts_may_have_any_name() -> None:
    text = "birds+postgresql://db/birds?index=museum&parts=/mnt/a+b%20c%26d?e"
    assert Address.parse(text).parts == "/mnt/a+b c&d?e"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("postgresql://db/birds", "birds\\+postgresql://HOST/DATABASE\\?index=NAME&parts=FOLDER"),
        ("postgres://db/birds", "names a database, not an index"),
        ("postgresql+psycopg://db/birds?index=a&parts=/b", "names a database, not an index"),
        ("mysql://db/birds", "is no address of an index"),
        ("s3://bucket/index", "has its catalog in PostgreSQL: write .*&parts=s3://bucket/index"),
        ("birds+postgresql://db/birds?parts=/x", "add index=NAME"),
        ("birds+postgresql://db/birds?index=a", "add parts=FOLDER"),
        ("birds+postgresql://db/birds?index=a&parts=", "add parts=FOLDER"),
        ("birds+postgresql://db/birds?index=a&parts=here", "is no full path"),
        ("birds+postgresql://db/birds?index=a&parts=ftp://b/c", "takes a folder or an object store"),
        ("birds+postgresql://db/birds?index=a/b&parts=/x", "is no name of an index"),
        ("birds+postgresql://db/birds?index=%20&parts=/x", "is no name of an index"),
        ("birds+postgresql://db/birds?index=a&index=b&parts=/x", "index= is given twice"),
        ("birds+postgresql://db/birds?indx=a&parts=/x", "Did you mean index=?"),
        ("birds+postgresql://db/birds?index=a&parts=/x&colour=red", "There are index=, parts=, vectors="),
        ("birds+postgresql://db?index=a&parts=/x", "lacks the name of the database"),
        ("birds+postgresql://db/a/b?index=a&parts=/x", "the name of one database"),
        ("birds+postgresql://db:port/a?index=a&parts=/x", "host or port cannot be read"),
        ("birds+postgresql://db/birds?index=a&parts=/x&vectors=m:19530", "takes the URL of a vector database"),
        (
            "birds+postgresql://db/birds?index=a&parts=/x&vectors=qdrant://m",
            "no installed package searches at qdrant://",
        ),
        ("birds+sqlite:///a?vectors=Milvus-lite://m", "Milvus is vectors=milvus://HOST:19530"),
    ],
)
def test_a_wrong_address_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(IndexAddressError, match=words):
        Address.parse(text)


def test_a_path_object_cannot_hold_an_address() -> None:
    for text in (FULL, "s3://bucket/index"):
        with pytest.raises(IndexAddressError, match="give it as a text, not as a Path"):
            Address.parse(Path(text))


SECRETS = [
    "birds+postgresql://me:hunter2@db/birds?index=a&parts=/x",
    "birds+postgresql://me:hun@ter2@db/birds?index=a&parts=/x",
    "birds+postgresql://:hunter2@/birds?index=a&parts=/x",
    "birds+postgresql://db/birds?index=a&parts=/x&password=hunter2",
    "birds+postgresql://db/birds?index=a&parts=/x&PGPASSWORD=hunter2",
    "birds+postgresql://db/birds?index=a&parts=/x&sslpassword=hunter2",
    "birds+postgresql://db/birds?index=a&parts=s3://key:hunter2@bucket/x",
    "birds+postgresql://db/birds?index=a&parts=s3://bucket/x?aws_secret_access_key=hunter2",
    "birds+postgresql://db/birds?index=a&parts=/x&vectors=milvus://root:hunter2@m:19530",
    "birds+postgresql://db/birds?index=a&parts=/x&vectors=milvus://m:19530?token=hunter2",
    "postgresql://me:hunter2@db/birds",
    "postgresql://me:hun/ter2@db/birds",
    "mysql://me:hunter2@db/birds?password=hunter2",
    "s3://key:hunter2@bucket/index",
    "birds+postgresql:/me:hunter2@db/birds?index=a&parts=/x",
    "birds+postgresql://me:hunter2@db/birds\0?index=a&parts=/x",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_password_is_refused_and_never_repeated(
    text: str, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG):
        for use in (birdsearch.open, birdsearch.create, birdsearch.restore):
            with pytest.raises(ValueError, match=r"index|NUL") as raised:
                use(text)
            assert "ter2" not in f"{raised.value}{raised.value!r}{raised.value.__cause__}{raised.value.__context__}"
    assert "ter2" not in caplog.text
    if "\0" not in text:
        done = run("info", "--index", text, code=1)
        assert "ter2" not in done.out + done.err
        monkeypatch.setenv("BIRDSEARCH_INDEX", text)
        assert "ter2" not in run("photos", code=1).err
    assert list(tmp_path.iterdir()) == []
