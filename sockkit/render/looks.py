"""How outcomes look in files for people: one row an outcome, for the page and the picture alike."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """Colours as background and text, on light and on dark, all with a contrast of 4.5 at least (WCAG 2, AA).

    Attributes:
        name: the outcome.
        key: the letter that stands for it where there is no room, and where colour alone would have to tell.
        words: what it means, in a few words.
    """

    name: str
    key: str
    words: str
    light: tuple[str, str]
    dark: tuple[str, str]


OTHER = Look("other", "?", "another errno", ("#f6d3ec", "#6b1557"), ("#4d1a41", "#f0a9df"))
LOOKS: tuple[Look, ...] = (
    Look("ok", "+", "works", ("#1a7a49", "#ffffff"), ("#2fae70", "#04150b")),
    Look("EPERM", "!", "not for this user", ("#b3261e", "#ffffff"), ("#e8746b", "#230503")),
    Look("EACCES", "a", "not for this user", ("#e38b2c", "#241300"), ("#f0a552", "#241300")),
    Look("EPROTONOSUPPORT", "p", "no such protocol", ("#cfe0f5", "#1c3c63"), ("#1f3857", "#b3d0f2")),
    Look("ESOCKTNOSUPPORT", "t", "no such type", ("#e4dcf3", "#43306b"), ("#352a52", "#cdbef0")),
    Look("EPROTOTYPE", "y", "another type", ("#cdeeea", "#0f4a45"), ("#17413d", "#9adcd5")),
    Look("EINVAL", "v", "out of range", ("#f1ead2", "#5a4a12"), ("#3b3419", "#e0d39f")),
    Look("ENODEV", "d", "no device", ("#fbdcd3", "#6b2413"), ("#4f2318", "#f5b7a5")),
    Look("EAFNOSUPPORT", "f", "no such family", ("#e9ebef", "#545d69"), ("#262b32", "#99a3b0")),
    OTHER,
)
BY_NAME = {look.name: look for look in LOOKS}


def look(outcome: str) -> Look:
    """The row of an outcome."""
    return BY_NAME.get(outcome, OTHER)
