"""Benchmarks: how fast is the installed ``sockkit``, side by side with what people would use instead.

``python -m tests.bench`` runs all of them, ``--quick`` a little of each, ``--only NAME…`` some; see docs/performance.md.

A benchmark is one function under ``tests/bench/rows/`` with the decorator ``registry.benchmark``: it returns its contenders,
each of which does the work once and returns what it measured. Rounds, interleaving, medians, targets, tables and charts
are not its business.
"""
