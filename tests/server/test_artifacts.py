"""Artifacts: previews that cannot act, archives that are made while they are sent."""

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Server

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
EVIL = rb"..\..\evil"


async def left(server: Server, state_dir: Path) -> tuple[str, Path]:
    """A job that has ended, and the folder of its artifacts for a test to fill."""
    job = await server.submit('touch "$JUPYTER_TASKS_ARTIFACTS/made"')
    await server.until(job["id"])
    [made] = state_dir.rglob("artifacts/made")
    made.unlink()
    return job["id"], made.parent


async def shown(server: Server, job_id: str, path: str) -> Any:
    return await server.ask("GET", f"api/jobs/{job_id}/artifacts/{path}?preview=true")


async def archive(server: Server, job_id: str, form: str) -> io.BytesIO:
    answer = await server.ask("GET", f"api/jobs/{job_id}/archive?format={form}")
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Disposition"].startswith("attachment")
    return io.BytesIO(answer.body)


async def test_the_list_says_what_each_file_is_by_its_name(server: Server, state_dir: Path) -> None:
    job_id, folder = await left(server, state_dir)
    for name in ("a.png", "b.ipynb", "c.log", "d.bin", "e"):
        (folder / name).write_bytes(b"x")

    files = (await server.ask("GET", f"api/jobs/{job_id}/artifacts")).json["artifacts"]

    kinds = [("a.png", "image"), ("b.ipynb", "notebook"), ("c.log", "text")]
    assert [(file["path"], file["preview"]) for file in files] == [
        *kinds,
        ("d.bin", None),
        ("e", None),
    ]
    assert files[0]["media_type"] == "image/png"


async def test_a_page_is_shown_as_the_text_that_it_is(server: Server, state_dir: Path) -> None:
    job_id, folder = await left(server, state_dir)
    (folder / "page.html").write_text("<script>alert(1)</script>")

    answer = await shown(server, job_id, "page.html")

    assert answer.body == b"<script>alert(1)</script>"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


async def test_a_long_text_is_shown_up_to_a_whole_character(
    server: Server, state_dir: Path
) -> None:
    job_id, folder = await left(server, state_dir)
    (folder / "long").write_text("a" + "€" * 200_000)

    answer = await shown(server, job_id, "long")

    text = answer.body.decode()
    assert text == "a" + "€" * (len(text) - 1)
    assert 256 * 1024 - 4 < len(answer.body) <= 256 * 1024
    assert answer.headers["X-Tasks-Size"] == "600001"


async def test_a_picture_is_shown_in_a_sandbox(server: Server, state_dir: Path) -> None:
    job_id, folder = await left(server, state_dir)
    (folder / "plot.PNG").write_bytes(PNG)
    (folder / "x.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>")

    picture = await shown(server, job_id, "plot.PNG")
    drawing = await shown(server, job_id, "x.svg")

    assert (picture.headers["Content-Type"], picture.body) == ("image/png", PNG)
    assert drawing.headers["Content-Type"] == "image/svg+xml"
    assert drawing.headers["Content-Security-Policy"].startswith("sandbox;")
    assert "allow-scripts" not in drawing.headers["Content-Security-Policy"]


async def test_a_notebook_is_shown_as_its_json(server: Server, state_dir: Path) -> None:
    job_id, folder = await left(server, state_dir)
    (folder / "n.ipynb").write_text(json.dumps(NOTEBOOK))

    answer = await shown(server, job_id, "n.ipynb")

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Tasks-Preview"] == "notebook"
    assert answer.json == NOTEBOOK


async def test_what_cannot_be_shown_says_so(server: Server, state_dir: Path) -> None:
    job_id, folder = await left(server, state_dir)
    bad = {"zeros": b"a\0b", "latin.txt": b"caf\xe9", "n.ipynb": b"{}", "m.ipynb": b"\xff"}
    for name, data in bad.items():
        (folder / name).write_bytes(data)

    for name in bad:
        answer = await shown(server, job_id, name)
        assert (answer.status, answer.json["code"]) == (404, "no_preview")
        assert "download it" in answer.json["message"]


async def test_an_archive_holds_all_files_and_nothing_else(
    server: Server, state_dir: Path, tmp_path: Path
) -> None:
    job_id, folder = await left(server, state_dir)
    files = {"sub/a b": b"one", "big": bytes(range(256)) * 4096, "empty": b""}
    (folder / "sub").mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "folder").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    expected = {f"{job_id}/{name}": data for name, data in files.items()}

    with zipfile.ZipFile(await archive(server, job_id, "zip")) as packed:
        assert packed.testzip() is None
        assert {name: packed.read(name) for name in packed.namelist()} == expected
    with tarfile.open(fileobj=await archive(server, job_id, "tar")) as taped:
        members = {member.name: taped.extractfile(member) for member in taped.getmembers()}
        assert {name: file.read() for name, file in members.items() if file} == expected


async def test_an_archive_unpacks_below_its_folder_whatever_the_names_are(
    server: Server, state_dir: Path
) -> None:
    job_id, folder = await left(server, state_dir)
    names = (EVIL, b"a\xff", b"a\xfe")
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(name)

    with zipfile.ZipFile(await archive(server, job_id, "zip")) as packed:
        assert len(set(packed.namelist())) == len(names)
        assert not [name for name in packed.namelist() if "\\" in name]
    with tarfile.open(fileobj=await archive(server, job_id, "tar")) as taped:
        exact = {f"{job_id}/".encode() + name for name in names}
        assert {os.fsencode(name) for name in taped.getnames()} == exact


async def test_an_archive_of_nothing_is_an_empty_one(server: Server) -> None:
    job_id = (await server.submit())["id"]
    await server.until(job_id)

    with zipfile.ZipFile(await archive(server, job_id, "zip")) as packed:
        assert packed.namelist() == []
    with tarfile.open(fileobj=await archive(server, job_id, "tar")) as taped:
        assert taped.getnames() == []


async def test_an_archive_whose_file_becomes_shorter_is_broken_off(
    server: Server, state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job_id, folder = await left(server, state_dir)
    with (folder / "f").open("wb") as file:
        file.truncate(64 * 1024 * 1024)

    begun = await server.begin("GET", f"api/jobs/{job_id}/archive?format=tar")
    await begun.stream.read_until(b"\r\n\r\n")
    os.truncate(folder / "f", 1)
    body = await begun.stream.read_until_close()

    assert not body.endswith(b"0\r\n\r\n")
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == []
