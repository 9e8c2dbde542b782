"""What the index knows of photos, written into their files: keywords and stars that other programs read."""
