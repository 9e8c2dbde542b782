"""Virtual environments for the alternatives: `python -m benchmarks.environments [NAME...]` (all where none is named).

They lie in `benchmarks/.envs`, which git ignores, because the tools contradict birdsearch (fastdup wants numpy 1) or
each other. What needs only birder or torch (birder's predict, the tutorial script) runs in birdsearch's own.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks.common import command_line, environment_folder, note

PACKAGES: dict[str, tuple[str, ...]] = {
    # apsw: many Pythons are built without loadable SQLite extensions
    "search": ("hnswlib", "usearch", "scann", "lancedb", "sqlite-vec", "apsw"),
    "milvus": ("pymilvus", "milvus-lite"),
    "chroma": ("chromadb",),
    "fastdup": ("fastdup",),
    "imagededup": ("imagededup",),
    "cleanlab": ("cleanlab", "termcolor"),
}
# These see birdsearch's packages behind their own: gigabytes of torch need not come twice, and all they need is there.
BORROWING = ("imagededup", "cleanlab")


def make(name: str) -> bool:
    """Make one environment anew; False, with pip's last words, where that fails."""
    folder = environment_folder(name)
    note(f"making {folder}: {' '.join(PACKAGES[name])}")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    if name in BORROWING:
        packages = sysconfig.get_path("purelib")
        own = sysconfig.get_path("purelib", vars={"base": str(folder)})
        (Path(own) / "birdsearch-packages.pth").write_text(f"{packages}\n", encoding="utf-8")
    done = _pip(folder, "install", *(["--no-deps"] if name in BORROWING else []), *PACKAGES[name])
    if done.returncode:
        note(f"{name} failed:\n" + "\n".join(done.stderr.strip().splitlines()[-8:]))
        shutil.rmtree(folder)  # half an environment would look like a whole one
    return done.returncode == 0


def _pip(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([folder / "bin/python", "-m", "pip", *words], capture_output=True, text=True, check=False)


def main() -> None:
    """Make the environments that are named, or those that are missing."""
    parser = command_line("environments", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PACKAGES)}; made anew")
    options = parser.parse_args()
    unknown = set(options.names) - set(PACKAGES)
    if unknown:
        parser.error(f"no environment is called {', '.join(sorted(unknown))}: there are {', '.join(PACKAGES)}")
    names = options.names or [name for name in PACKAGES if not (environment_folder(name) / "bin/python").exists()]
    failed = [name for name in names if not make(name)]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
