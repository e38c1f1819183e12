"""The examples of the frameworks' pages, run as they stand with the network blocked."""

import pytest

from examples import blocks, lab, run

PAGES = ["langchain.md", "pydantic-ai.md", "openai-agents.md", "frames.md", "ray.md"]


@pytest.mark.parametrize("page", PAGES)
async def test_an_example_runs_as_it_stands(page, tmp_path):
    async with lab() as (made, url):
        for code in blocks(page):
            assert (await run(code, url, tmp_path)).strip()
    assert not [record.error for record in made.records if record.error]
