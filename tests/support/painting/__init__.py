"""Paints the sample photos of the demo, which the package carries as files, and any number of others for tests."""
