"""A plan for duplicates, its apply, and what is in the trash; the files themselves move by `birdsearch.actions`."""
