import pytest

from headroom.learning import (
    Recommendation,
    Recommendations,
    load_recommendations,
    to_toml,
)

ROW = Recommendation("payg", "claude", "ab" * 8, "skip", 1.0, 60)


def test_a_written_file_is_read_back(tmp_path):
    path = tmp_path / "recommendations.toml"
    path.write_text(to_toml([ROW]))
    found = load_recommendations(path)
    assert found.status == "loaded"
    assert found.recommendations.get("payg", "claude-opus-5", ROW.structure_hash) == ROW
    assert found.recommendations.get("payg", "gpt-5", ROW.structure_hash) is None
    assert (
        found.recommendations.get("oauth", "claude-opus-5", ROW.structure_hash) is None
    )


def test_rows_of_unknown_slices_hold_for_all():
    row = Recommendation("unknown", "unknown", "cd", "lossless", 0.5, 50)
    found = Recommendations([row])
    assert found.get("payg", "gpt-5", "cd") == found.get("oauth", "", "cd") == row


def test_a_missing_file_is_as_if_nothing_was_learned(tmp_path):
    found = load_recommendations(tmp_path / "none.toml")
    assert (found.status, len(found.recommendations)) == ("missing", 0)


@pytest.mark.parametrize(
    "text",
    [
        b"[[recommendation]\n",
        b"recommendation = 7",
        b"[[recommendation]]\nauth_mode = 1\n",
        b"\xff",
    ],
)
def test_a_malformed_file_is_empty_and_says_why(tmp_path, text):
    path = tmp_path / "recommendations.toml"
    path.write_bytes(text)
    found = load_recommendations(path)
    assert (found.status, len(found.recommendations)) == ("failed", 0)
    assert found.error
