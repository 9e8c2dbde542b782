"""A server in a process of its own, to be killed: `python -m tests.support.server_worker INDEX DELAY`.

Its index has a fake backbone that takes DELAY seconds for a batch, and commits every four photos. It prints its address
and its key.
"""

import socket
import sys
from contextlib import ExitStack
from unittest.mock import patch

from birdsearch.indexing import committer, embedder, pipeline
from birdsearch.web.app import run
from birdsearch.web.serving import Settings
from tests.support.index_worker import open_or_create

SIZES = (embedder, "NETWORK_BATCH", 2), (pipeline, "AHEAD", 4), (committer, "COMMIT_PHOTOS", 4)


def main(index: str, delay: str) -> None:
    """Serve until the end."""
    listening = socket.create_server(("127.0.0.1", 0))
    settings = Settings(port=listening.getsockname()[1])
    print(f"http://127.0.0.1:{settings.port}", settings.keys.edit, flush=True)
    with ExitStack() as stack:
        for module, name, size in SIZES:
            stack.enter_context(patch.object(module, name, size))
        run(open_or_create(index, float(delay)), settings, listening)


if __name__ == "__main__":
    main(*sys.argv[1:])
