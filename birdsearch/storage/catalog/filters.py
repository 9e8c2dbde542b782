"""A Filter as conditions of SQL."""

import json
import logging
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from birdsearch.errors import missing_file_error
from birdsearch.files import SHARD_SIGN, absolute, is_url, known_spelling, with_trailing_slash
from birdsearch.records import OF_NETWORK, Filter, shown
from birdsearch.storage.catalog.tables import (
    MAX_INTEGER,
    NAMES,
    is_visible,
    photos,
    predictions,
    roots,
    state,
    state_value,
)

logger = logging.getLogger("birdsearch")

EARTH_KM = 6371.0088  # mean radius, IUGG 1980
_MOMENT = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?)?)?)?")
Condition = sa.ColumnElement[bool]


def distance_km(
    latitude: float | None, longitude: float | None, to_latitude: float, to_longitude: float
) -> float | None:
    """Great-circle distance in km between two points in degrees (haversine formula; Sinnott 1984)."""
    if latitude is None or longitude is None:
        return None
    north, south = math.radians(latitude), math.radians(to_latitude)
    half_chord = (
        math.sin((north - south) / 2) ** 2
        + math.cos(north) * math.cos(south) * math.sin(math.radians(longitude - to_longitude) / 2) ** 2
    )
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half_chord)))


def conditions(where: Filter | None, connection: sa.Connection) -> list[Condition]:
    """What a visible photo must satisfy. Raises ValueError for a date or a place that cannot be read."""
    if not isinstance(where, Filter | None):
        raise TypeError(f"a filter must be a Filter, such as Filter(species='Wren'), not {where!r}")
    return [is_visible, *(_terms(where, connection) if where is not None else ())]


def _terms(where: Filter, connection: sa.Connection) -> list[Condition]:
    """The conditions of one filter, and of those within it."""
    terms: list[Condition] = []
    if where.ids is not None:
        terms.append(_is_one_of(where.ids, connection))
    if where.any_of:
        terms.append(sa.or_(*(_holds(one, connection) for one in where.any_of)))
    terms += [sa.not_(_holds(one, connection)) for one in where.none_of]
    if where.species is not None:
        terms.append(_named((photos.c.species,), where.species, connection))
    if where.label is not None:
        terms.append(_named((photos.c.label,), where.label, connection))
    if where.predicted is not None or where.min_probability is not None:
        terms.append(_predicted(where, connection))
    if where.taken_after is not None:
        terms.append(photos.c.taken_at >= _moment(where.taken_after))
    if where.taken_before is not None:
        terms.append(photos.c.taken_at < _moment(where.taken_before))
    if where.under is not None:
        terms.append(_under(where.under, connection))
    if where.near is not None:
        terms.append(_near(where.near))
    if where.camera is not None:
        terms.append(photos.c.camera.in_(_cameras(where.camera, connection)))
    if where.min_width is not None:
        terms.append(photos.c.width >= min(where.min_width, MAX_INTEGER))
    if where.sample is not None:
        terms = [_drawn(min(where.sample, MAX_INTEGER), terms)]
    return terms


def _is_one_of(ids: Sequence[int], connection: sa.Connection) -> Condition:
    """Whether a photo has one of these ids, given as one value: a statement takes only so many."""
    if connection.dialect.name == "sqlite":
        return photos.c.id.in_(sa.select(sa.func.json_each(json.dumps(ids)).table_valued("value").c.value))
    possible = [photo_id for photo_id in ids if abs(photo_id) <= MAX_INTEGER]
    return photos.c.id == sa.any_(sa.literal(possible, sa.ARRAY(sa.BigInteger)))


def _drawn(count: int, terms: Sequence[Condition]) -> Condition:
    """So many of the visible photos that satisfy the terms: one of each species, then a second one of each, and so on.

    Which ones is left to the hash of their bytes, so that a photo stays in the sample when others come and go.
    """
    by_bytes = (photos.c.sha256, photos.c.id)
    turn = sa.func.row_number().over(partition_by=sa.func.coalesce(photos.c.species, ""), order_by=by_bytes)
    ranked = sa.select(photos.c.id, photos.c.sha256, turn.label("turn")).where(is_visible, *terms).subquery()
    drawn = sa.select(ranked.c.id).order_by(ranked.c.turn, ranked.c.sha256, ranked.c.id).limit(count)
    return photos.c.id.in_(drawn)


def _holds(where: Filter, connection: sa.Connection) -> Condition:
    """Whether a filter within another one holds; of what a photo does not know nothing holds."""
    return sa.func.coalesce(sa.and_(sa.true(), *_terms(where, connection)), sa.false())


def inside(column: sa.ColumnElement[Any], folders: Iterable[bytes]) -> Condition:
    """A stored path that is one of the folders or lies under one of them."""
    choices: list[Condition] = [sa.false()]
    for folder in folders:
        choices += [column == folder, _starts_with(column, folder + b"/")]
        if folder.lower().endswith(b".tar"):
            choices.append(_starts_with(column, folder + SHARD_SIGN))
    return sa.or_(*choices)


def _starts_with(column: sa.ColumnElement[Any], prefix: bytes) -> Condition:
    # Blobs compare byte by byte: what follows is below the next byte.
    return sa.and_(column >= prefix, column < prefix[:-1] + bytes([prefix[-1] + 1]))


def _distinct(column: sa.Column[Any], connection: sa.Connection) -> list[str]:
    return list(connection.scalars(sa.select(column).distinct().where(column.is_not(None))))


def _cameras(part: str, connection: sa.Connection) -> list[str]:
    return [name for name in _distinct(photos.c.camera, connection) if part.casefold() in name.casefold()]


def _overrides(connection: sa.Connection) -> Any:
    return state_value(NAMES, connection.scalar(sa.select(state.c.value).where(state.c.key == NAMES)))


def in_stored_words(where: Filter, connection: sa.Connection) -> Filter:
    """The same filter with names as the photos have them, and times in full: what compares texts understands it."""
    from birdsearch.taxonomy.resolve import meaning_any

    said: dict[str, Any] = {
        "any_of": tuple(in_stored_words(one, connection) for one in where.any_of),
        "none_of": tuple(in_stored_words(one, connection) for one in where.none_of),
    }
    for column, value in ((photos.c.species, where.species), (photos.c.label, where.label)):
        if value is not None:
            wanted = [value] if isinstance(value, str) else value
            said[column.name] = sorted(meaning_any(_distinct(column, connection), wanted, _overrides(connection)))
    for name in ("taken_after", "taken_before"):
        if (moment := getattr(where, name)) is not None:
            said[name] = _moment(moment)
    if where.camera is not None:
        said["camera"] = None
        cameras = [Filter(camera=name) for name in _cameras(where.camera, connection)]
        # A filter of which one of these alternatives holds; of no camera at all nothing holds.
        said["none_of"] = (*said["none_of"], ~Filter(any_of=cameras) if cameras else Filter())
    return replace(where, **said)


def _named(columns: Sequence[sa.Column[Any]], value: str | Sequence[str], connection: sa.Connection) -> Condition:
    """A name that means one of these taxa, however it is spelled; a warning tells what is there where none does."""
    from birdsearch.taxonomy.resolve import (
        guessed_as,
        meaning_any,
        similar,
    )  # which a search without a name does not need

    overrides, wanted = _overrides(connection), [value] if isinstance(value, str) else value
    stored = {column.name: _distinct(column, connection) for column in columns}
    fitting = {column: meaning_any(names, wanted, overrides) for column, names in stored.items()}
    if not any(fitting.values()):
        what, known = columns[0].name, sorted(set().union(*stored.values()))
        close = ", ".join(map(shown, similar(wanted, known)))
        logger.warning("no %s %s here%s", what, ", ".join(map(shown, wanted)), f"; there are {close}" if close else "")
        if guesses := guessed_as(known, wanted, overrides):
            logger.warning(
                "%s is matched to it by a guess, which finds nothing until it is confirmed: birdsearch names --guessed "
                "--csv > names.csv, yes in the column confirmed, then birdsearch names --from names.csv",
                ", ".join(map(shown, guesses)),
            )
    return sa.or_(*(column.in_(fitting[column.name]) for column in columns))


def _predicted(where: Filter, connection: sa.Connection) -> Condition:
    least = predictions.c.probability >= (where.min_probability or 0.0)
    which: Condition = predictions.c.position.in_((1, OF_NETWORK + 1))
    if where.predicted is not None:
        which = _named((predictions.c.species, predictions.c.class_name), where.predicted, connection)
    return photos.c.id.in_(sa.select(predictions.c.photo_id).where(which, least))


def _moment(text: str | date) -> str:
    moment = str(text).strip().replace(" ", "T")
    try:
        if not _MOMENT.fullmatch(moment):
            raise ValueError("of another form")
        datetime.fromisoformat(moment + "0001-01-01T00:00:00"[len(moment) :])
    except ValueError as error:
        raise ValueError(f"not a date: {text!r}; write 2024, 2024-05, 2024-05-17 or 2024-05-17T06:30") from error
    return moment


def _under(folder: str | os.PathLike[str], connection: sa.Connection) -> Condition:
    known = connection.execute(sa.select(roots.c.id, roots.c.path)).all()
    path = known_spelling(absolute(folder), [root for _, root in known])
    choices: list[Condition] = [sa.false()]
    for root_id, root in known:
        if root == path or root.startswith(with_trailing_slash(path)):
            choices.append(photos.c.root_id == root_id)
        elif path.startswith(with_trailing_slash(root)):
            below = path.removeprefix(with_trailing_slash(root))
            choices.append(sa.and_(photos.c.root_id == root_id, inside(photos.c.relative, [below])))
    if (
        not (is_url(path) or os.path.lexists(path))
        and connection.scalar(sa.select(photos.c.id).where(sa.or_(*choices)).limit(1)) is None
    ):
        logger.warning("%s", missing_file_error(os.fsdecode(path), "folder"))
    return sa.or_(*choices)


def _near(near: Sequence[float]) -> Condition:
    latitude, longitude, radius = near
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and radius >= 0):
        raise ValueError(f"not a place: {near}; write latitude (-90 to 90), longitude (-180 to 180), radius in km")
    band = math.degrees(radius / EARTH_KM)
    return sa.and_(
        photos.c.latitude.between(latitude - band, latitude + band),
        sa.func.distance_km(photos.c.latitude, photos.c.longitude, latitude, longitude) <= radius,
    )
