"""Training curves in DVCLive's files."""

import json
import os
import subprocess

from dpc.stages import live

ROWS = [
    {"method": "coop", "history": {"classification": [3.0, 2.0, 1.0]}},
    {"method": "coop", "history": {"classification": [1.0, 1.0]}},
    {"method": "coop+dpc", "history": {"contrastive": [0.5]}},
    {"method": "zero_shot", "history": None},
]


def test_a_metric_is_the_mean_of_the_runs_that_came_to_the_epoch():
    assert live.training_metrics(ROWS) == {
        "coop/classification": [2.0, 1.5, 1.0],
        "coop+dpc/contrastive": [0.5],
    }


def test_files_are_tables_by_epoch_and_the_last_values(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)  # a repository without a commit
    files = live.files(ROWS)
    assert files == live.files(ROWS)
    assert files["plots/metrics/coop/classification.tsv"].decode().splitlines() == [
        "step\tclassification",
        "1\t2.0",
        "2\t1.5",
        "3\t1.0",
    ]
    last = json.loads(files["metrics.json"])
    assert last["coop+dpc"] == {"contrastive": 0.5}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".dvc", ".git"]


def test_no_training_gives_no_curve():
    assert not [name for name in live.files(ROWS[3:]) if name.endswith(".tsv")]


def test_nothing_is_sent_to_a_service_that_the_user_is_logged_in_to(monkeypatch):
    import requests

    def refuse(*_, **__):
        raise AssertionError("a request was made")

    monkeypatch.setattr(requests.Session, "request", refuse)
    monkeypatch.setenv("DVC_STUDIO_TOKEN", "isat_token")
    monkeypatch.setenv("DVC_STUDIO_REPO_URL", "git@example.org:own/project.git")
    monkeypatch.setenv("DVC_STUDIO_URL", "http://127.0.0.1:9")
    assert live.files(ROWS)["plots/metrics/coop/classification.tsv"]
    assert "DVC_STUDIO_OFFLINE" not in os.environ
