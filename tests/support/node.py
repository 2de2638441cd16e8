"""What docs/frontend/ has, built and run as a frontend developer does it: under Node, with Better Auth.

tests/frontend/ has what belongs to it: the locked packages, a server for Better Auth, and programs that use it.
"""

import json
import os
import re
import secrets
import select
import shutil
import subprocess
from collections.abc import Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page

from api.settings import Settings
from tests.support.servers import serving

ROOT = Path(__file__).parent.parent.parent
CODE = ROOT / "docs" / "frontend"
DOCUMENT = ROOT / "api" / "openapi.json"
PROJECT = Path(__file__).parent.parent / "frontend"
INSTALLED = PROJECT / "node_modules" / ".installed"
PROGRAMS = ("server.ts", "story.ts", "every-route.ts", "reorder.ts")
OLDEST_NODE = (20, 19)
AUDIENCE = "https://api.example.com"
PASSWORD = secrets.token_urlsafe(16)


@pytest.fixture(scope="session")
def frontend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the code of docs/frontend/ beside ours, its types checked, in dist/ what can be run."""
    install()
    directory = tmp_path_factory.mktemp("frontend")
    shutil.copytree(PROJECT, directory, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
    (directory / "node_modules").symlink_to(PROJECT / "node_modules")
    shutil.copytree(CODE, directory, dirs_exist_ok=True)
    run("openapi-typescript", str(DOCUMENT), "-o", "lib/schema.d.ts", at=directory)
    run("tsc", at=directory)
    bundle = ("esbuild", "--bundle", "--format=esm", "--outdir=dist", "--log-level=warning")
    run(*bundle, "--platform=node", "--packages=external", *PROGRAMS, at=directory)
    run(*bundle, "page.tsx", at=directory)
    return directory


def install() -> None:
    """Install the packages as the lock file says. Skips the test where there is no Node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("the frontend is not tested: there is no node and npm on this machine")
    version = run("node", "--version", at=PROJECT).strip()
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_NODE:
        pytest.skip(f"the frontend is not tested: it needs Node 20.19 or later, and this is {version}")
    with (PROJECT / "package-lock.json").open() as file:
        flock(file, LOCK_EX)  # tests run in several processes
        lock = file.read()
        if not INSTALLED.exists() or INSTALLED.read_text() != lock:
            run("npm", "ci", at=PROJECT)
            INSTALLED.write_text(lock)  # last: an interrupted installation starts over


def run(*command: str, at: Path, **environment: str) -> str:
    """Return what a program prints. Fails the test with all that it said when it fails."""
    path = f"{PROJECT / 'node_modules' / '.bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=at,
        env=os.environ | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def better_auth(frontend: Path) -> Iterator[str]:
    """Where a Better Auth is that has no users yet."""
    environment = os.environ | {"BETTER_AUTH_SECRET": secrets.token_urlsafe(48)}
    node = shutil.which("node") or "node"
    with subprocess.Popen([node, "dist/server.js"], cwd=frontend, env=environment, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            assert select.select([server.stdout], [], [], 60)[0], "it does not start"
            address = server.stdout.readline().decode().strip()
            assert address, "it has ended"
            yield address
        finally:
            server.terminate()


def trusting(better_auth: str) -> dict[str, object]:
    """Return the settings of an app that trusts Better Auth, and lets its pages call."""
    return {
        "jwt_secret": None,
        "jwt_jwks_url": f"{better_auth}/api/auth/jwks",
        "jwt_issuer": better_auth,
        "jwt_audience": AUDIENCE,
        "cors_origins": (better_auth,),
    }


@pytest.fixture
def api(settings: Settings, better_auth: str) -> Iterator[str]:
    """Where an app is that trusts Better Auth."""
    with serving(settings.model_copy(update=trusting(better_auth))) as address:
        yield address


def addresses(better_auth: str, api: str) -> dict[str, str]:
    """Return what the code of docs/frontend/ reads from the environment."""
    return {"NEXT_PUBLIC_AUTH_URL": better_auth, "NEXT_PUBLIC_API_URL": api}


def configure(page: Page, better_auth: str, api: str) -> None:
    """Give a window what Next.js would put into the code: the environment."""
    page.add_init_script(f"window.process = {{env: {json.dumps(addresses(better_auth, api))}}}")


def sign_up(better_auth: str, name: str) -> str:
    """Return the e-mail address of a new user."""
    email = f"{name}-{secrets.token_hex(4)}@example.com"
    user = {"name": name, "email": email, "password": PASSWORD}
    response = httpx2.post(f"{better_auth}/api/auth/sign-up/email", json=user, headers={"Origin": better_auth})
    assert response.status_code == 200
    return email
