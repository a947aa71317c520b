"""`make demo` and `make install`: what a newcomer runs, and what the tests start from."""
