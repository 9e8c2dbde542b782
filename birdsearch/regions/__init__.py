"""Where the bird is, and what two photos share: boxes and maps in, boxes and shares out."""
