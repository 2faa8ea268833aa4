"""What a submission runs is what stood there when it was submitted, in one file that the tasks import."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_sweep import files, snapshot
from hpc_sweep.errors import InputError

JOB = "from hpc_sweep.job import Config as Base\n\n\nclass Config(Base): ...\n\n\ndef run(config, ctx):\n    return 7\n"
BROKEN = 'def fail():\n    value = {}\n    return value["labels"]  # the line that is shown\n'


def git(root: Path, *words: str) -> str:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    }  # fmt: skip
    done = subprocess.run(["git", *words], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fill(root: Path) -> Path:
    """A small project."""
    texts = {
        "jobs/train.py": JOB, "src/model/__init__.py": "", "src/model/net.py": BROKEN, "slurm/env.sh": "export A=1\n",
        "configs/grids/x.yaml": "name: x\n", "README.md": "not code\n", "data/big.bin": "data\n",
    }  # fmt: skip
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A project that is not in git."""
    return fill(tmp_path / "project")


@pytest.fixture
def tracked(plain: Path) -> Path:
    """The same in git, all committed."""
    (plain / ".gitignore").write_text("*.log\n__pycache__/\nsecret.py\n")
    git(plain, "init", "-q", "-b", "main")
    git(plain, "add", ".")
    git(plain, "commit", "-q", "-m", "first")
    return plain


def held(found: snapshot.Snapshot) -> list[str]:
    return [name for name, _ in found.sources]


SOURCES = ["configs/grids/x.yaml", "jobs/train.py", "slurm/env.sh", "src/model/__init__.py", "src/model/net.py"]


# what is in it


def test_it_holds_the_code_and_nothing_else(tracked: Path, plain: Path) -> None:
    assert held(snapshot.take(tracked)) == SOURCES


def test_a_folder_that_is_not_in_git_works(plain: Path) -> None:
    (plain / "src/model/__pycache__").mkdir()
    (plain / "src/model/__pycache__/net.cpython-311.pyc").write_bytes(b"x")
    found = snapshot.take(plain)
    assert held(found) == SOURCES
    assert (found.commit, found.dirty) == ("", False)
    assert found.label == f"{found.fingerprint[:8]} (not in git)"


def test_git_need_not_be_installed(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert held(snapshot.take(plain)) == SOURCES


def test_what_is_not_committed_yet_is_in_it_and_what_is_ignored_is_not(tracked: Path) -> None:
    (tracked / "jobs/new.py").write_text("x = 1\n")
    (tracked / "jobs/secret.py").write_text("token = 1\n")
    (tracked / "src/run.log").write_text("noise\n")
    (tracked / "src/model/net.py").write_text("changed = True\n")
    (tracked / "slurm/env.sh").unlink()
    found = snapshot.take(tracked)
    assert held(found) == sorted({*SOURCES, "jobs/new.py"} - {"slurm/env.sh"})
    assert dict(found.sources)["src/model/net.py"] == b"changed = True\n"
    assert found.dirty


def test_links_are_left_out(tracked: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("secret = 1\n")
    for name in ("jobs/linked.py", "src/loop.py"):
        (tracked / name).symlink_to(tmp_path / "outside.py" if "linked" in name else "loop.py")
    (tracked / "src/folder").symlink_to(tmp_path)
    assert held(snapshot.take(tracked)) == SOURCES
    git(tracked, "add", ".")
    assert held(snapshot.take(tracked)) == SOURCES


def test_links_are_left_out_without_git_too(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("secret = 1\n")
    (plain / "jobs/linked.py").symlink_to(tmp_path / "outside.py")
    (plain / "src/folder").symlink_to(tmp_path)
    assert held(snapshot.take(plain)) == SOURCES


def test_a_project_inside_a_larger_repository(tracked: Path) -> None:
    inner = fill(tracked / "tools" / "inner")
    git(tracked, "add", ".")
    assert held(snapshot.take(inner)) == SOURCES
    assert held(snapshot.take(tracked)) == SOURCES


@pytest.mark.parametrize("name", ["jobs/größe.py", "jobs/with space.py", "jobs/a\nb.py", "jobs/-x.py", 'jobs/"q".py'])
def test_odd_names_are_kept(name: str, tracked: Path, tmp_path: Path) -> None:
    (tracked / name).write_text("x = 1\n")
    found = snapshot.take(tracked)
    assert name in held(found)
    with zipfile.ZipFile(snapshot.write(found, tmp_path / "code")) as archive:
        assert archive.read(name) == b"x = 1\n"


def test_a_file_in_conflict_is_taken_once(tracked: Path) -> None:
    git(tracked, "checkout", "-q", "-b", "other")
    (tracked / "jobs/train.py").write_text("theirs = 1\n")
    git(tracked, "commit", "-q", "-a", "-m", "theirs")
    git(tracked, "checkout", "-q", "main")
    (tracked / "jobs/train.py").write_text("ours = 1\n")
    git(tracked, "commit", "-q", "-a", "-m", "ours")
    with pytest.raises(AssertionError):
        git(tracked, "merge", "-q", "other")
    found = snapshot.take(tracked)
    assert held(found) == SOURCES
    assert b"<<<<<<<" in dict(found.sources)["jobs/train.py"]


def test_too_much_code_is_data(plain: Path) -> None:
    with (plain / "configs/features.bin").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte: it must not be read to be refused
    with pytest.raises(
        InputError, match=r"is over 20 MB with configs/features\.bin \(1,099,511,627,776 bytes\)"
    ) as caught:
        snapshot.take(plain)
    assert "keep data out of jobs, src, slurm, configs" in str(caught.value.hint)


def test_a_pipe_is_not_waited_for(plain: Path) -> None:
    os.mkfifo(plain / "src/pipe.py")
    assert held(snapshot.take(plain)) == SOURCES


# its name


def test_equal_content_has_an_equal_name_and_equal_bytes(tracked: Path, tmp_path: Path) -> None:
    copy = fill(tmp_path / "copy" / "elsewhere")
    os.utime(copy / "jobs/train.py", (1, 1))
    os.chmod(copy / "jobs/train.py", 0o755)
    one, two = snapshot.take(tracked), snapshot.take(copy)
    assert one.fingerprint == two.fingerprint
    first, second = snapshot.write(one, tmp_path / "a"), snapshot.write(two, tmp_path / "b")
    assert first.name == second.name == f"{one.fingerprint}.zip"
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}  # no clock goes into it


def test_any_change_is_another_name(plain: Path) -> None:
    seen = {snapshot.take(plain).fingerprint}
    steps: list[Callable[[], object]] = [
        lambda: (plain / "jobs/train.py").write_text(JOB + "\n"),
        lambda: (plain / "configs/grids/x.yaml").write_text("name: y\n"),
        lambda: (plain / "jobs/more.py").write_text(""),
        lambda: (plain / "jobs/more.py").rename(plain / "jobs/moved.py"),
        lambda: (plain / "slurm/env.sh").unlink(),
    ]
    for step in steps:
        step()
        seen.add(snapshot.take(plain).fingerprint)
    assert len(seen) == 1 + len(steps)
    (plain / "README.md").write_text("other words\n")
    assert snapshot.take(plain).fingerprint in seen


def test_names_and_texts_do_not_run_into_each_other(tmp_path: Path) -> None:
    two = {"jobs/a.py": b"x", "jobs/b.py": b"y"}
    one = {"jobs/a.py": b"xjobs/b.py\0y"}  # the same bytes, one after the other
    for folder, texts in (("two", two), ("one", one)):
        for name, text in texts.items():
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_bytes(text)
    assert snapshot.take(tmp_path / "two").fingerprint != snapshot.take(tmp_path / "one").fingerprint


def test_the_label_is_the_commit_and_its_state(tracked: Path) -> None:
    commit = git(tracked, "rev-parse", "HEAD")
    found = snapshot.take(tracked)
    assert found.label == f"{commit[:7]} (clean)"
    (tracked / "README.md").write_text("words are no code\n")
    assert snapshot.take(tracked).label == f"{commit[:7]} (clean)"
    (tracked / "jobs/train.py").write_text("x = 1\n")
    changed = snapshot.take(tracked)
    assert changed.label == f"{commit[:7]} (with changes)"
    assert changed.record() == {
        "fingerprint": changed.fingerprint, "commit": commit, "dirty": True, "label": changed.label,
    }  # fmt: skip


# the file


def test_a_snapshot_is_written_once(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = snapshot.take(plain)
    path = snapshot.write(found, tmp_path / "code")
    monkeypatch.setattr(files, "write_atomic", lambda path, data: pytest.fail("written again"))
    assert snapshot.write(found, tmp_path / "code") == path


def run(code: Path, program: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": os.pathsep.join([str(code), f"{code}/src"]), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-P", "-W", "error", "-c", program]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)


def test_tasks_import_from_it(tracked: Path, tmp_path: Path) -> None:
    path = snapshot.write(snapshot.take(tracked), tmp_path / "code")
    program = (
        "import sys, pathlib; from hpc_sweep import job; import model.net\n"
        f"found = job.load('train', pathlib.Path({str(path)!r}) / 'jobs')\n"
        "print(found.module.run(None, None), found.module.__file__, model.net.__file__)\n"
    )
    done = run(path, program, tmp_path)
    assert done.stderr == ""
    assert done.stdout.split() == ["7", f"{path}/jobs/train.pyc", f"{path}/src/model/net.pyc"]


def test_a_traceback_shows_the_line_that_ran_not_what_stands_there_now(tracked: Path, tmp_path: Path) -> None:
    path = snapshot.write(snapshot.take(tracked), tmp_path / "code")
    (tracked / "src/model/net.py").write_text("# edited\n" * 9)
    program = "import traceback, model.net\ntry: model.net.fail()\nexcept KeyError: traceback.print_exc()"
    done = run(path, program, tracked)  # as tasks do: in the project's folder
    assert 'return value["labels"]  # the line that is shown' in done.stderr
    assert "src/model/net.py" in done.stderr
    assert "edited" not in done.stderr


def test_a_file_that_is_not_python_breaks_nothing_but_itself(plain: Path, tmp_path: Path) -> None:
    (plain / "src/half.py").write_text("def f(:\n")
    (plain / "src/nul.py").write_bytes(b"x = 1\0\n")
    (plain / "src/odd.py").write_text('pattern = "\\d"\n')  # a warning in 3.11, an error one day
    path = snapshot.write(snapshot.take(plain), tmp_path / "code")
    with zipfile.ZipFile(path) as archive:
        assert {"src/half.py", "src/nul.py", "src/odd.pyc"} <= set(archive.namelist())
        assert "src/half.pyc" not in archive.namelist()
    assert run(path, "import model.net", tmp_path).returncode == 0
    assert "SyntaxError" in run(path, "import half", tmp_path).stderr


def test_what_was_compiled_by_another_python_is_compiled_again(plain: Path, tmp_path: Path) -> None:
    path = snapshot.write(snapshot.take(plain), tmp_path / "code")
    with zipfile.ZipFile(path) as archive:
        names = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in names.items():
            archive.writestr(name, b"\0\0\r\n" + data[4:] if name.endswith(".pyc") else data)
    done = run(path, "import model.net; print(model.net.fail.__name__)", tmp_path)
    assert (done.stdout, done.returncode) == ("fail\n", 0)
