"""The benchmarks. Each module that is put here is found by itself."""
