"""The verbs, one module each: a function whose signature is the command line, and `main`."""
