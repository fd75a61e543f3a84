"""Instruments: what is sent through a subject and what comes of it, each a process of its own inside a namespace.

A worker (`*_worker.py`) uses the standard library alone: it shares two cores with what it measures. It takes lines of
JSON on standard input and answers each with one on standard output; it ends when its input does. Times are seconds of
the monotonic clock, which all processes share.
"""
