import shutil
import subprocess

import pytest
import torch

from peft_cli.run_folder import environment as module
from peft_cli.run_folder.environment import commit, environment


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Somebody's repository."""
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("a")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "a")
    return tmp_path


def test_the_commit_is_that_of_the_packages_own_repository(repository, monkeypatch):
    monkeypatch.setattr(module, "CHECKOUT", repository)
    assert commit() == git(repository, "rev-parse", "--short", "HEAD").strip()
    (repository / "a").write_text("b")
    assert commit().endswith("-dirty")


def test_the_repository_around_an_installed_package_is_another(repository, monkeypatch):
    (repository / "site-packages").mkdir()
    monkeypatch.setattr(module, "CHECKOUT", repository / "site-packages")
    assert commit() is None


def test_a_machine_without_git_has_no_commit(repository, monkeypatch):
    monkeypatch.setattr(module, "CHECKOUT", repository)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert commit() is None


def test_an_environment_names_versions_and_machine():
    found = environment(torch.device("cpu"))
    assert found["versions"]["torch"] == torch.__version__ and found["threads"] == torch.get_num_threads()
    assert found["device"] and found["python"].count(".") == 2
