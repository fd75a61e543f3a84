"""Resources of the instances: all, one, and what can be done to one."""

from __future__ import annotations

from fastapi import APIRouter, Response

from statelessnf.api.documents import DrainBody, InstancesDocument
from statelessnf.api.openapi import problems
from statelessnf.api.state import TheFace
from statelessnf.config_errors import nearest
from statelessnf.errors import NotFound
from statelessnf.orchestrator.face import Face, InstanceDocument

router = APIRouter(prefix="/instances", tags=["instances"])


@router.get("")
async def get_instances(face: TheFace) -> InstancesDocument:
    """All instances that are known, also those that have ended a moment ago."""
    return InstancesDocument(instances=face.instances())


@router.get("/{name}", responses=problems(404))
async def get_instance(name: str, face: TheFace) -> InstanceDocument:
    """One instance."""
    return _instance(face, name)


@router.post("/{name}/drain", responses=problems(400, 404, 409, 413, 415, 421, 422, 503))
async def drain_instance(name: str, body: DrainBody, face: TheFace) -> InstanceDocument:
    """No traffic for this instance any more; or again."""
    _instance(face, name)
    await face.drain(name, body.drained)
    return _instance(face, name)


@router.post("/{name}/kill", status_code=204, responses=problems(404, 409, 421, 502, 503))
async def kill_instance(name: str, face: TheFace) -> Response:
    """SIGKILL: what a failure is like."""
    _instance(face, name)
    await face.kill(name)
    return Response(status_code=204)


def _instance(face: Face, name: str) -> InstanceDocument:
    """Raises NotFound, with the name that was probably meant."""
    known = {instance.name: instance for instance in face.instances()}
    if name not in known:
        do = nearest(name, list(known), "") or "GET /instances names all (snf status)"
        raise NotFound(f"there is no instance {name!r}", do=do)
    return known[name]
