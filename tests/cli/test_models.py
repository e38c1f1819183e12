import json

from click.testing import CliRunner

from headroom.cli.models import command


def run(*arguments, **environ):
    return CliRunner().invoke(command, list(arguments), env=environ)


def test_one_model_is_told_in_a_row():
    found = run("anthropic/claude-sonnet-4.5")
    assert found.exit_code == 0
    assert "1,024" in found.output
    assert ">200,000: 6/22.5" in found.output


def test_a_model_that_nobody_lists_is_told_to_be_one():
    assert "careful defaults" in run("unheard-of-9").output


def test_all_models_are_listed_as_json_too():
    rows = json.loads(run("--json").output)
    assert {"claude", "openai", "gemini"} <= {row["family"] for row in rows}
    assert len({row["model"] for row in rows}) == len(rows)


def test_the_users_file_is_read(tmp_path):
    file = tmp_path / "models.toml"
    file.write_text('[[model]]\nmatch = ["acme-1"]\ncontext_tokens = 12345\n')
    assert "12,345" in run("acme-1", HEADROOM_MODELS_FILE=str(file)).output
