from __future__ import annotations

import re
from pathlib import Path

import pytest

import sockkit
from tests import docs

EXAMPLES = [example for page in docs.pages() for example in docs.examples(page)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.page}:{example.line}")
def test_shown_output_is_what_is_printed(example: docs.Example) -> None:
    found = docs.actual(example.command)
    assert docs.matches(example.shown, found), f"shown:\n{example.shown}\n\nnow:\n{found}"


def test_every_experiment_of_the_article_is_shown() -> None:
    text = (docs.ROOT / "docs" / "experiments.md").read_text()
    for number in range(1, 16):
        assert re.search(rf"^## {number}\. ", text, re.M), f"experiment {number}"


def test_links_within_the_docs_lead_somewhere() -> None:
    for page in docs.pages():
        for target in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            there = page.parent / target
            if target.startswith("../sockkit/"):  # which the tests of a wheel have elsewhere
                there = Path(sockkit.__file__).parent / target.removeprefix("../sockkit/")
            assert there.exists(), f"{page.name}: {target}"


def test_docs_that_the_code_names_exist() -> None:
    for source in Path(docs.__file__).parent.parent.glob("sockkit/**/*.py"):
        for name in re.findall(r"docs/([a-z-]+\.md)", source.read_text()):
            assert (docs.ROOT / "docs" / name).exists(), f"{source.name} names docs/{name}"
