"""Everything that can go wrong in a way the user can cause or fix.

BirdsearchError                 message = what + where + what next
├─ IndexFolderError             the folder that holds an index
│  ├─ IndexAddressError         an address that names no index (also a ValueError)
│  ├─ IndexMissingError         nothing there (also a FileNotFoundError)
│  ├─ IndexExistsError          something is there already
│  ├─ IndexVersionError         written by a newer birdsearch
│  ├─ IndexDamagedError         a promise of the format does not hold
│  │  └─ IndexReplacedError     another index has come to its place since it was opened
│  ├─ IndexLockedError          another process is writing
│  └─ IndexUnwritableError      no permission, no space
│     └─ IndexUnreachableError  the database of its catalog does not answer
├─ PhotoError                   one photo
│  ├─ PhotoUnreadableError      broken, truncated, too large, not a photo
│  ├─ PhotoMissingError         no such file or folder (also a FileNotFoundError)
│  ├─ PhotoChangedError         the file is not what was indexed
│  ├─ PhotoUnknownError         no photo with this id (also a KeyError)
│  └─ BoxOutsideError           a box that lies beyond the picture (also a ValueError)
├─ BackboneError                the network
│  ├─ BackboneUnknownError      no such name
│  ├─ FinderUnknownError        no such name of what finds birds (also a ValueError)
│  ├─ BackboneUnavailableError  weights or a runtime that are not available
│  └─ BackboneMismatchError     vectors of one backbone asked to meet those of another
├─ WordsError                   words that ask for nothing (also a ValueError)
├─ PruneRefusedError            so many photos are gone that a disk may be away
├─ RecallUnreachableError       no engine that was allowed finds the share of neighbours asked for
├─ EngineUnreachableError       the server that keeps the engine of an index
├─ GraphMissingError            no neighbour graph was made, over which a query could spread
├─ MemoryNeededError            photos that do not fit into memory all at once
├─ InstallationError            a package or a program that birdsearch needs is incomplete, or not there
├─ ClusterError                 hosts that cannot be reached or used, or a run on them that has failed
├─ RemoteError                  a store of objects, or the network before it
├─ InputFileError               a CSV, checklist or Parquet file: which line, why
├─ OutputFileError              a file or folder that cannot be written: which, why
├─ ReportUnknownError           no report of duplicates with this id (also a KeyError)
├─ PlanError                    a plan that cannot be carried out, or a run that cannot be taken back
└─ Cancelled                    no error: a `Progress` callback raises it to end a long method

Programmer errors stay builtins (ValueError, TypeError).
"""

import difflib
import errno
import os

from birdsearch.words import shown

# What to do about an index or a disk that cannot be written to; commands that only ask come here too.
MAKE_ROOM = "No finished work is lost: make room or get permission to write, then run the same command again."


class BirdsearchError(Exception):
    """Base of all errors that birdsearch raises on purpose."""


class IndexFolderError(BirdsearchError):
    """An index folder cannot be used."""


class IndexAddressError(IndexFolderError, ValueError):
    """An address does not say where an index lies, or says what no address may."""


class IndexMissingError(IndexFolderError, FileNotFoundError):
    """There is no index at the path."""


class IndexExistsError(IndexFolderError):
    """The path is taken, by an index or by something else."""


class IndexVersionError(IndexFolderError):
    """The index was written by a newer birdsearch."""


class IndexDamagedError(IndexFolderError):
    """Something in the index folder is not what the catalog says."""


class IndexReplacedError(IndexDamagedError):
    """Another index, or none, lies now where this one was when it was opened."""


class IndexLockedError(IndexFolderError):
    """Another process is writing to the index."""


class IndexUnwritableError(IndexFolderError):
    """The index cannot be written to, or its database cannot be used."""


class IndexUnreachableError(IndexUnwritableError):
    """The database that holds the catalog of an index does not answer, or lets nobody in."""


class PhotoError(BirdsearchError):
    """One photo cannot be used."""


class PhotoUnreadableError(PhotoError):
    """The bytes are not a photo that can be decoded."""


class PhotoMissingError(PhotoError, FileNotFoundError):
    """There is no file or folder at the path."""


class PhotoChangedError(PhotoError):
    """The file of a photo is not the one that was indexed."""


class PhotoUnknownError(PhotoError, KeyError):
    """The index holds no photo with this id."""

    # KeyError quotes its message; a sentence for people must not be quoted.
    __str__ = Exception.__str__


class BoxOutsideError(PhotoError, ValueError):
    """A box in pixels lies beyond the picture that it is of."""


class BackboneError(BirdsearchError):
    """A backbone cannot be used."""


class BackboneUnknownError(BackboneError):
    """No backbone has this name."""


class FinderUnknownError(BackboneError, ValueError):
    """No finder has this name."""


class BackboneUnavailableError(BackboneError):
    """The weights or the runtime of a backbone are not available."""


class BackboneMismatchError(BackboneError):
    """Vectors of two different backbones must not meet."""


class WordsError(BirdsearchError, ValueError):
    """Words were asked that ask for nothing."""


class PruneRefusedError(BirdsearchError):
    """So many photos are gone that none was removed from the index."""


class RecallUnreachableError(BirdsearchError):
    """No engine that was allowed finds the share of true neighbours that was asked for."""


class EngineUnreachableError(BirdsearchError):
    """The server that keeps the engine of an index does not answer, or refuses."""


class GraphMissingError(BirdsearchError):
    """The index has no neighbour graph, over which a query could spread."""


class MemoryNeededError(BirdsearchError):
    """A question about more photos at once than the memory of this computer holds."""


class InstallationError(BirdsearchError):
    """A package or a program that birdsearch needs is not whole, or not there."""


class ClusterError(BirdsearchError):
    """Hosts cannot be reached or used, or a run on them has failed."""


class InputFileError(BirdsearchError):
    """A file of instructions (CSV, checklist, Parquet) cannot be used."""


class OutputFileError(BirdsearchError):
    """A file or folder that the user asked for (an export, a page, a list) cannot be written."""


class ReportUnknownError(BirdsearchError, KeyError):
    """No report of duplicates with this id is kept, or nothing that it speaks of is left."""

    __str__ = Exception.__str__  # as for PhotoUnknownError


class PlanError(BirdsearchError):
    """A plan cannot be carried out, or a run of one cannot be taken back."""


class Cancelled(BirdsearchError):  # noqa: N818 -- it is what the caller wanted
    """A `Progress` callback raises it to end a long method, which keeps what is finished and raises it on."""


STOPS = (Cancelled, KeyboardInterrupt, SystemExit)  # what ends a run in good order


class RemoteError(BirdsearchError, OSError):
    """A store of objects, or the network before it, did not do what it was asked: `strerror` says why in words."""

    def __str__(self) -> str:
        return f"{shown(str(self.filename))}: {self.strerror}."


def missing_file_error(path: str, kind: str) -> PhotoMissingError:
    """The error for a path that leads nowhere, with the name that may have been meant."""
    folder, name = os.path.split(os.path.abspath(path))
    try:
        with os.scandir(folder) as entries:
            there = [entry.name for entry in entries if ("folder" if entry.is_dir() else "file") in kind]
        close = difflib.get_close_matches(name, there, n=1)
        hint = f"Did you mean {shown(os.path.join(folder, close[0]))}?" if close else f"Look in {shown(folder)}."
    except (OSError, ValueError):  # the latter for what cannot be a name
        hint = f"The folder {shown(folder)} cannot be listed either: is the disk connected?"
    return PhotoMissingError(f"no such {kind}: {shown(path)}. {hint}")


def os_error_text(error: OSError) -> str:
    """An operating system's error in plain words: "no permission"."""
    if isinstance(error, RemoteError):
        return str(error.strerror)
    known = {
        errno.EACCES: "no permission",
        errno.EPERM: "no permission",
        errno.ENOENT: "no longer there",
        errno.ENOTDIR: "no longer there",
        errno.ELOOP: "symlink that leads back to itself",
        errno.ENAMETOOLONG: "path too long for this system",
        errno.EIO: "read error on the disk",
    }
    return known.get(error.errno or 0) or (error.strerror or str(error)).lower()


def refusal(error: OSError) -> str:
    """Why the system did not write, in its words; numpy counts what it wrote and gives no reason."""
    return error.strerror or "not all of it was written, as where the disk is full"
