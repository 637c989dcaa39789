"""What the shim finds in CPython, for MicroPython: parts of modules, made of calls of libc."""
