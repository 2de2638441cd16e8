"""The Kubernetes manifests: their commands run with their environment, and their numbers fit the image and the app."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml

from api.settings import Settings
from db.libpq.target import read_target
from tests.support.database import PASSWORD, ROOT, Url
from tests.support.shell import environment

FOLDER = ROOT / "ops/kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
SECRET = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())
OPTIONAL = {"podmonitor.yaml", "secret.example.yaml"}
OTHERS = {"MIGRATION_DATABASE_URL", "PGPASSWORD"}  # which are no settings of the API
DOCKERFILE = (ROOT / "Dockerfile").read_text()

Manifest = dict[str, Any]


def manifests(*files: str) -> Iterator[Manifest]:
    for file in files or KUSTOMIZATION["resources"]:
        yield from yaml.safe_load_all((FOLDER / file).read_text())


def pod_of(manifest: Manifest) -> Manifest | None:
    """Return the pod that a manifest has a template of."""
    spec = manifest["spec"]
    pod: Manifest | None = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    return pod


PODS = {manifest["metadata"]["name"]: pod["spec"] for manifest in manifests() if (pod := pod_of(manifest))}
CONTAINERS = {
    container["name"]: container
    for pod in PODS.values()
    for container in [*pod.get("initContainers", []), *pod["containers"]]
}
[DEPLOYMENT] = [manifest for manifest in manifests() if manifest["kind"] == "Deployment"]
API = CONTAINERS["api"]
PORTS = {port["name"]: port["containerPort"] for port in API["ports"]}


def config_map(name: str) -> dict[str, str]:
    [files] = [made["envs"] for made in KUSTOMIZATION["configMapGenerator"] if made["name"] == name]
    lines = [line for file in files for line in (FOLDER / file).read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def environment_of(container: Manifest) -> dict[str, str]:
    """Return the environment of a container. Raises KeyError if it asks for what the secret does not have."""
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= config_map(source["configMapRef"]["name"])
    for each in container["env"]:
        reference = each["valueFrom"]["secretKeyRef"]
        assert reference["name"] == SECRET["metadata"]["name"]
        found[each["name"]] = SECRET["stringData"][reference["key"]]
    return found


def test_each_file_is_applied_or_optional() -> None:
    files = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}

    assert files == {*KUSTOMIZATION["resources"]} | OPTIONAL


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_variable_is_a_setting(name: str) -> None:
    assert {*environment_of(CONTAINERS[name])} <= {each.upper() for each in Settings.model_fields} | OTHERS


def test_the_settings_of_the_api_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(API).items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)

    assert (settings.admin_port, settings.admin_host) == (PORTS["admin"], "0.0.0.0")  # noqa: S104 - in a container


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_login_has_its_own_password_and_none_is_in_a_config_map(name: str) -> None:
    [(map_name, url)] = [
        (source["configMapRef"]["name"], value)
        for source in CONTAINERS[name]["envFrom"]
        for variable, value in config_map(source["configMapRef"]["name"]).items()
        if variable.endswith("DATABASE_URL")
    ]
    target = read_target(url)
    keys = [each["valueFrom"]["secretKeyRef"]["key"] for each in CONTAINERS[name]["env"]]

    assert f"{target.user.replace('_', '-')}-password" == keys[0]
    assert "password" not in target.given
    assert not [variable for variable in config_map(map_name) if re.search("SECRET|PASSWORD", variable)]


def test_the_commands_run_one_after_another(url: Url, admin: psycopg.Connection) -> None:
    del admin
    for name in ("migrate", "audit", "clean"):
        python, *arguments = CONTAINERS[name]["command"]
        given = environment_of(CONTAINERS[name]) | {"PGPASSWORD": PASSWORD}
        for variable in [variable for variable in given if variable.endswith("DATABASE_URL")]:
            given[variable] = url(read_target(given[variable]).user)
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment() | given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (python, done.returncode) == ("python", 0), done.stdout + done.stderr


def test_the_ports_and_the_user_are_those_of_the_image() -> None:
    assert re.findall(r'"--port", "(\d+)"|EXPOSE (\d+)', DOCKERFILE) == [("", "8000"), ("8000", "")]
    assert PORTS["http"] == 8000
    [user] = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
    for pod in PODS.values():
        assert pod["securityContext"]["runAsUser"] == int(user)


def test_probes_ask_for_routes_and_only_readiness_depends_on_the_database() -> None:
    probes = {name: API[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    routes = json.loads((ROOT / "api/openapi.json").read_text())["paths"]

    assert {probe["path"] for probe in probes.values()} <= routes.keys()
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert [probe["path"] for probe in probes.values()] == ["/health/live", "/health/live", "/health"]


def test_the_pod_is_killed_later_than_the_shutdown_ends() -> None:
    [shutdown] = re.findall(r'"--timeout-graceful-shutdown", "(\d+)"', DOCKERFILE)
    before = API["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert before + int(shutdown) < PODS["partywall"]["terminationGracePeriodSeconds"]


def test_a_rollout_takes_no_pod_away_before_another_one_serves() -> None:
    assert DEPLOYMENT["spec"]["replicas"] > 1
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize("name", PODS)
def test_no_pod_can_do_more_than_it_needs(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert not pod["enableServiceLinks"]
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"].keys() == {"memory"}


def test_what_selects_the_pods_of_the_api_finds_them_and_their_ports() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    for manifest in [*manifests("api.yaml", "network.yaml", "podmonitor.yaml")]:
        spec = manifest["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        assert selector.get("matchLabels", selector) == labels
        named = re.findall(r"'(?:targetPort|port)': '(\w+)'", str(spec))
        assert {*named} <= PORTS.keys()
