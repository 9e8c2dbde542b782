"""Where the bird is: boxes and maps in, boxes out."""
