"""The door for browsers and programs: `birdsearch serve`, its HTTP API and its pages."""
