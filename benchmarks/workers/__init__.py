"""Programs that run in the environment of one alternative each: files in, one line of JSON out."""
