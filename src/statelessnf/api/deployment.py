"""Resources of the deployment as a whole: itself, its size, its hosts, the switch, its health."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request, Response

from statelessnf.api.documents import HealthDocument, HostsDocument, RevisionDocument, SizeBody
from statelessnf.api.openapi import problems
from statelessnf.api.state import TheFace
from statelessnf.errors import ConfigError
from statelessnf.orchestrator.face import DeploymentDocument, Face, SteeringDocument
from statelessnf.orchestrator.model import Health

router = APIRouter(tags=["deployment"])
_TOML: dict[str, Any] = {"schema": {"type": "string"}}


@router.get("/deployment")
async def get_deployment(face: TheFace) -> DeploymentDocument:
    """The deployment as it is now."""
    return face.deployment()


@router.put(
    "/deployment",
    responses=problems(409, 413, 421, 422, 502, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"application/toml": _TOML, "text/plain": _TOML}}},
)
async def put_deployment(request: Request, face: TheFace) -> RevisionDocument:
    """Reload: the body is the new deployment file. Rules are published; anything else replaces the instances."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise ConfigError("the deployment file is not UTF-8 text", "body", "save it as UTF-8") from error
    return RevisionDocument(revision=await face.reload(text))


@router.delete("/deployment", status_code=204, responses=problems(409, 421, 502, 503))
async def delete_deployment(face: TheFace) -> Response:
    """Down: stops all instances, takes the steering away; answered when that is done, then the orchestrator ends."""
    await face.down()
    return Response(status_code=204)


@router.put("/size", responses=problems(400, 409, 413, 415, 421, 422, 503))
async def put_size(body: SizeBody, face: TheFace) -> DeploymentDocument:
    """This many instances from now on."""
    await face.scale(body.size)
    return face.deployment()


@router.get("/hosts")
async def get_hosts(face: TheFace) -> HostsDocument:
    """The hosts, and what is measured of them."""
    return HostsDocument(hosts=face.hosts())


@router.get("/steering")
async def get_steering(face: TheFace) -> SteeringDocument:
    """The switch, and who gets traffic."""
    return face.steering()


@router.get("/health", openapi_extra={"security": []})
async def get_health(face: TheFace) -> HealthDocument:
    """Whether all is well; needs no token. The status is 200 as long as the orchestrator works."""
    wrong = list(_wrong(face))
    return HealthDocument(healthy=not wrong, leader=face.deployment().leader, problems=wrong)


def _wrong(face: Face) -> Iterator[str]:
    deployment, steering = face.deployment(), face.steering()
    told = {steering.problem, *(host.problem for host in face.hosts())}  # the deployment's is the first of all
    yield from filter(None, ("" if deployment.problem in told else deployment.problem, steering.problem))
    if not (steering.connected or steering.problem):
        yield f"the switch ({steering.kind}) is not connected"
    for host in face.hosts():
        if host.problem or not host.reachable:
            yield host.told(host.problem or "not reachable")
    for instance in face.instances():
        if instance.health == Health.suspected:
            yield f"instance {instance.name} is suspected"
