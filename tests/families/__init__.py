"""Data over every family: ``sockkit serve`` and ``sockkit connect`` as two processes, and a peer that knows nothing of sockkit."""
