"""The command line: one typed function per verb, whose signature is its set of options."""
