"""What the authorizer and the checks of a shared server decide, without a server."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import (
    IdentityProvider,
    LegacyIdentityProvider,
    PasswordIdentityProvider,
    User,
)
from jupyter_server.services.kernels.handlers import KernelHandler, MainKernelHandler
from jupyter_server.services.sessions.handlers import SessionHandler, SessionRootHandler
from tornado.web import HTTPError

from sparkkernels.authorizer import KernelOwnerAuthorizer
from sparkkernels.kernelspecs import SparkKernelSpecManager, local_kernels
from sparkkernels.owners import claim
from sparkkernels.settings import Settings
from sparkkernels.shared_server import anonymity, faults, is_inside, writable_by_others

KERNEL_ID = "2c1e1a52-3b6e-4d0e-8a58-7b5f1e2f9a01"
OTHER_ID = "2c1e1a52-3b6e-4d0e-8a58-7b5f1e2f9a02"
ALICE, BOB = User("alice"), User("bob")


class Sessions:
    """One session, on alice's kernel."""

    async def session_exists(self, path: str) -> bool:
        return path == "a.ipynb"

    async def get_session(self, **wanted: str) -> dict[str, Any]:
        if wanted in ({"session_id": "s"}, {"path": "a.ipynb"}):
            return {"id": "s", "kernel": {"id": KERNEL_ID}}
        raise HTTPError(404)


def request(kind: type[Any], method: str, body: object = None, **path: str) -> Any:
    """A handler as far as the authorizer looks at one."""
    handler: Any = object.__new__(kind)
    handler.request = SimpleNamespace(method=method, body=json.dumps(body).encode() if body else b"")
    handler.path_kwargs = path
    handler.application = SimpleNamespace(
        settings={"kernel_manager": {KERNEL_ID, OTHER_ID}, "session_manager": Sessions()}
    )
    return handler


def allowed(handler: Any, user: User, resource: str = "kernels") -> bool:
    return KernelOwnerAuthorizer().is_authorized(handler, user, "write", resource)


def test_only_the_starter_may() -> None:
    record = claim(KERNEL_ID, "alice")
    for method in ("GET", "DELETE"):
        handler = request(KernelHandler, method, kernel_id=KERNEL_ID)
        assert allowed(handler, ALICE) and not allowed(handler, BOB)
        handler = request(SessionHandler, method, session_id="s")
        assert allowed(handler, ALICE, "sessions") and not allowed(handler, BOB, "sessions")
    assert not allowed(request(KernelHandler, "GET", kernel_id=KERNEL_ID), User("Alice"))
    assert record.user == "alice"


@pytest.mark.parametrize(
    "body",
    [
        {"kernel": {"id": KERNEL_ID}, "path": "b.ipynb"},
        {"kernel": {"id": KERNEL_ID.upper()}, "path": "b.ipynb"},
        {"kernel": {"id": [KERNEL_ID]}, "path": "b.ipynb"},
        {"kernel": [KERNEL_ID], "path": "b.ipynb"},
        {"kernel": {}, "path": "a.ipynb"},
        {"kernel": {}, "path": "b.ipynb", "notebook": {"name": "a.ipynb"}},
        {"kernel": {}, "path": "b.ipynb", "notebook": {"path": "a.ipynb"}},
        {"kernel": {}, "path": "b.ipynb", "notebook": "a.ipynb"},
        {"kernel": {}, "path": ["a.ipynb"]},
    ],
)
def test_a_session_can_not_be_put_on_the_kernel_of_somebody_else(body: dict[str, Any]) -> None:
    record = claim(KERNEL_ID, "alice")
    assert not allowed(request(SessionRootHandler, "POST", body), BOB, "sessions")
    assert allowed(request(SessionRootHandler, "POST", {"path": "b.ipynb"}), BOB, "sessions")
    assert record.user == "alice"


def test_kernels_without_a_known_starter_are_nobodys() -> None:
    record = claim(KERNEL_ID, None)
    for kernel_id in (KERNEL_ID, OTHER_ID):
        assert not allowed(request(KernelHandler, "GET", kernel_id=kernel_id), ALICE)
        assert not allowed(request(MainKernelHandler, "POST", {"kernel_id": kernel_id}), ALICE)
    assert record.user is None


def test_what_is_not_known_is_refused() -> None:
    assert not allowed(request(KernelHandler, "GET"), ALICE)  # no kernel and no list of kernels
    assert not allowed(request(MainKernelHandler, "GET"), ALICE, "sessions")
    for resource in ("terminals", "server", "lsp", "", "Kernels"):
        assert not allowed(request(KernelHandler, "GET", kernel_id=KERNEL_ID), ALICE, resource)
    assert allowed(request(MainKernelHandler, "GET"), ALICE, "contents")
    lenient = KernelOwnerAuthorizer(allowed_resources=["lsp"])
    assert lenient.is_authorized(request(MainKernelHandler, "GET"), ALICE, "read", "lsp")


def test_an_error_in_deciding_means_no() -> None:
    record = claim(KERNEL_ID, "alice")
    assert not allowed(object(), ALICE)
    assert not allowed(request(SessionHandler, "GET"), ALICE, "sessions")
    broken = request(SessionHandler, "GET", session_id="s")
    broken.application.settings["session_manager"] = None
    assert not allowed(broken, ALICE, "sessions")
    waiting = request(SessionHandler, "GET", session_id="s")
    waiting.application.settings["session_manager"] = SimpleNamespace(
        get_session=lambda session_id: asyncio.sleep(1)
    )
    assert not allowed(waiting, ALICE, "sessions")
    for user in (None, User.__new__(User), SimpleNamespace(username=["alice"])):
        assert not allowed(request(MainKernelHandler, "GET"), user)  # type: ignore[arg-type]
    for body in ("x", [1]):
        with pytest.raises(HTTPError, match="400"):
            allowed(request(MainKernelHandler, "POST", body), ALICE)
    assert record.user == "alice"


def install(directory: Path, name: str, provisioner: str | None) -> None:
    (directory / name).mkdir(parents=True)
    stanza = {"kernel_provisioner": {"provisioner_name": provisioner}} if provisioner else {}
    spec = {"argv": ["x"], "display_name": name, "language": "python", "metadata": stanza}
    (directory / name / "kernel.json").write_text(json.dumps(spec))


def test_local_kernels_are_those_that_would_start_not_those_that_are_listed(tmp_path: Path) -> None:
    install(tmp_path, "spark", "spark-provisioner")
    install(tmp_path, "own", None)
    install(tmp_path, "gone", "provisioner-of-nobody")
    stock = KernelSpecManager(
        kernel_dirs=[str(tmp_path)], allowed_kernelspecs={"spark"}, ensure_native_kernel=False
    )
    assert list(stock.find_kernel_specs()) == ["spark"]
    assert list(local_kernels(stock)) == ["own", "python3"]
    ours = SparkKernelSpecManager(kernel_dirs=[str(tmp_path)])
    assert list(ours.find_kernel_specs()) == list(ours.get_all_specs()) == ["spark"]
    assert list(local_kernels(ours)) == []
    assert (
        SparkKernelSpecManager(kernel_dirs=[str(tmp_path)], allowed_kernelspecs={"x"}).find_kernel_specs()
        == {}
    )


def test_kernelspecs_that_others_can_write_are_found(tmp_path: Path) -> None:
    kernels = tmp_path / "kernels"
    install(kernels, "spark", "spark-provisioner")
    for path in (tmp_path, kernels, kernels / "spark"):
        path.chmod(0o755)
    (kernels / "spark" / "kernel.json").chmod(0o644)
    assert list(writable_by_others(kernels)) == []
    for path in (kernels / "spark" / "kernel.json", kernels / "spark", kernels, tmp_path):
        before = path.stat().st_mode
        for bit in (0o020, 0o002):
            path.chmod(before | bit)
            assert list(writable_by_others(kernels)) == [path]
            assert list(writable_by_others(tmp_path / "kernels" / "absent")) == (
                [path] if path in (kernels, tmp_path) else []
            )
        path.chmod(before)
    tmp_path.chmod(0o1777)
    assert list(writable_by_others(kernels)) == []
    link = tmp_path / "link"
    link.symlink_to(kernels)
    kernels.chmod(0o777)
    assert list(writable_by_others(link)) == [kernels]


def test_below_the_root_directory_is_seen_through_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    assert is_inside(str(root), str(root)) and is_inside(f"{root}/a/b", f"{tmp_path}/link")
    assert is_inside(f"{tmp_path}/link/a", str(root)) and is_inside("/etc/x", "/")
    assert not is_inside(f"{root}/../a", str(root)) and not is_inside(f"{root}er", str(root))
    assert not is_inside(os.fspath(tmp_path), str(root))


class Renamed(PasswordIdentityProvider):
    """Changes nothing that matters."""


class Knows(IdentityProvider):
    """Tells users apart."""

    def get_user(self, handler: Any) -> User | None:
        return ALICE


class Lenient(AllowAllAuthorizer):
    """Changes nothing that matters."""


def server(provider: type[IdentityProvider], **settings: Any) -> Any:
    """A server that a check looks at."""
    good = {
        "identity_provider": provider(token="t"),
        "allow_unauthenticated_access": False,
        "authorizer": KernelOwnerAuthorizer(),
        "terminals_enabled": False,
        "kernel_spec_manager": SparkKernelSpecManager(kernel_dirs=[]),
        "contents_manager": SimpleNamespace(root_dir="/nowhere/notebooks"),
        "config_file_paths": [],
        "runtime_dir": "/nowhere/runtime",
    }
    return SimpleNamespace(**{**good, **settings})


def test_a_server_that_is_set_up_well_has_no_faults(tmp_path: Path) -> None:
    assert list(faults(server(Knows), "jupyter", ["/etc/jupyter.keytab", ""])) == []
    bad = server(
        Renamed,
        authorizer=Lenient(),
        terminals_enabled=True,
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(tmp_path)]),
        contents_manager=SimpleNamespace(root_dir="/"),
    )
    found = list(faults(bad, "hub", ["/etc/jupyter.keytab"]))
    waivable = Settings.class_traits()["allow_shared_server"]._trait.values  # type: ignore[attr-defined]
    assert {fault.name for fault in found} == {*waivable} - {"service_account"}
    assert all(fault.hint.endswith(".") and not fault.message.endswith(".") for fault in found)
    kept = server(Knows, contents_manager=SimpleNamespace(root_dir=str(tmp_path)))
    assert [fault.name for fault in faults(kept, "hub", [str(tmp_path / "jupyter.keytab")])] == [
        "users_files"
    ]
    elsewhere = server(Knows, contents_manager=SimpleNamespace())
    assert list(faults(elsewhere, "hub", ["/etc/jupyter.keytab"])) == []


def test_jupyterhubs_authorizer_will_do_where_all_kernels_are_one_persons() -> None:
    class JupyterHubAuthorizer(KernelOwnerAuthorizer):
        def is_authorized(self, *_: Any) -> bool:
            return True

    JupyterHubAuthorizer.is_authorized.__module__ = "jupyterhub.singleuser.extension"
    ours = server(Knows, authorizer=JupyterHubAuthorizer())
    assert list(faults(ours, "hub", [])) == []
    assert [fault.name for fault in faults(ours, "jupyter", [])] == ["open_authorizer"]


def test_tokens_and_passwords_are_anonymous_whatever_the_class_is_called() -> None:
    for provider in (IdentityProvider, PasswordIdentityProvider, LegacyIdentityProvider, Renamed):
        [fault] = anonymity(server(provider))
        assert "its users are anonymous" in fault.message
    assert list(anonymity(server(Knows))) == []
    [fault] = anonymity(server(Knows, allow_unauthenticated_access=True))
    assert "allow_unauthenticated_access" in fault.hint
