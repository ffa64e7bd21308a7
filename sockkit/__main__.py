"""``python -m sockkit``."""

from sockkit.cli import main

if __name__ == "__main__":
    main()
