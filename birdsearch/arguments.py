"""Arguments of public functions are what their annotations say; what is not is refused at the door, in words."""

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin

from birdsearch.words import without_secrets

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_ELSEWHERE = ("self", "where", "image", "images", "photos", "vectors")  # what takes these says more about them
_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which raises TypeError for an argument that is not of the kind of its annotation."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            given = {}  # a word too many or too few: Python says so below
        for name, value in given.items():
            kind = signature.parameters[name].annotation
            if name not in _ELSEWHERE and not _fits(value, kind):
                raise TypeError(f"{name} cannot be {value!r:.80}: give {_in_words(kind)}")
            if isinstance(value, str | os.PathLike) and "\0" in os.fsdecode(value):
                what = f"{without_secrets(os.fsdecode(value))!r:.80}"
                raise ValueError(f"{name} cannot be {what}: it holds a NUL, which no name of a file can")
        return function(*args, **kwargs)

    return wrapper


def checked_methods(cls: type[T]) -> type[T]:
    """A class whose public methods are `checked`."""
    for name, member in vars(cls).copy().items():
        if not name.startswith("_") and inspect.isfunction(member):
            setattr(cls, name, checked(member))
    return cls


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of the kind of an annotation; kinds that are not known here take everything."""
    origin, within = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in within)
    if kind is int:
        return hasattr(value, "__index__") and not isinstance(value, bool)
    if kind is float:
        return hasattr(value, "__float__") and not isinstance(value, bool)
    if origin is os.PathLike:
        return isinstance(value, os.PathLike)
    if origin is Callable:
        return callable(value)
    if origin is Mapping:
        entries = isinstance(value, Mapping) and value.items()
        return entries is not False and all(_fits(k, within[0]) and _fits(v, within[1]) for k, v in entries)
    if origin in (Iterable, Sequence):
        if isinstance(value, str):
            return _fits(value, within[0])  # one text alone counts as a list of it
        listed = isinstance(value, Iterable) and not isinstance(value, bytes)
        return listed and (isinstance(value, Iterator) or all(_fits(one, within[0]) for one in value))
    return not isinstance(kind, type) or isinstance(value, kind)


def _in_words(kind: Any) -> str:
    """What an annotation asks for: "a whole number", "a path or None", "a list of texts"."""
    origin, within = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        words = list(dict.fromkeys(_in_words(one) for one in within if one is not NoneType))
        if "a path" in words and "a text" in words:
            words.remove("a text")
        return " or ".join(words)
    if origin is os.PathLike:
        return "a path"
    if origin is Callable:
        return "a function"
    if origin is Mapping:
        return f"a mapping of {_in_words(within[0]).split(' ', 1)[1]} to {_in_words(within[1])}"
    if origin in (Iterable, Sequence):
        one = _in_words(within[0])
        return f"a list of {one.split(' ', 1)[1]}s" if one.count(" or ") == 0 else f"a list, each {one}"
    return _WORDS.get(kind) or f"a {getattr(kind, '__name__', kind)}"
