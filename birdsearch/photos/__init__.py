"""A file becomes a Photo and pixels: only here are Pillow, pi_heif, simplejpeg, rawpy and imagehash imported."""
