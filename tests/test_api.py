"""The REST API on a real socket: who may ask, what is answered, and problem documents for whatever is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from conftest import eventually
from fake_face import FakeFace, FakeRecords
from running_api import RunningApi
from running_app import TOKEN
from statelessnf import errors
from statelessnf.api.guard import MOST_BODY
from statelessnf.api.problems import MEDIA_TYPE, TABLE, Problem, error_of
from statelessnf.errors import SnfError

pytestmark = pytest.mark.beside

DEPLOYMENT = 'name = "edge"\nfunction = "firewall"\n'
JSON = {"Content-Type": "application/json"}
NOWHERE = 'name = "edge"\nfunction = "firewal"\n'


@pytest.fixture
def client(api: RunningApi) -> Iterator[httpx.Client]:
    with api.client() as made:
        yield made


def problem(response: httpx.Response, status: int) -> Problem:
    """The problem document that the response is."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    found = Problem.model_validate_json(response.content)
    assert found.status == status
    assert found.title
    assert found.detail
    return found


PATHS = ("/deployment", "/instances/edge-1", "/flows", "/events", "/metrics", "/openapi.json", "/nowhere", "/health/x")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", f"Bearer {TOKEN}x")],
        [("Authorization", f"Bearer {TOKEN[:-1]}")],
        [("Authorization", "Bearer")],
        [("Authorization", f"Basic {TOKEN}")],
        [("Authorization", TOKEN)],
        [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")],
        [("Authorization", b"Bearer \xff\xfe")],
    ],
)
def test_nothing_without_the_token(headers: Any, api: RunningApi) -> None:
    with api.client(token="") as stranger:
        for path in PATHS:
            response = stranger.get(path, headers=headers)
            assert problem(response, 401).type == "/problems/unauthorized"
            assert response.headers["www-authenticate"].startswith("Bearer")


def test_nothing_is_done_without_the_token(api: RunningApi) -> None:
    with api.client(token="wrong") as stranger:
        problem(stranger.post("/instances/edge-1/kill"), 401)
        problem(stranger.delete("/deployment"), 401)
    assert [event.kind for event in api.face.log] == ["start"]


def test_the_scheme_is_in_any_case(api: RunningApi) -> None:
    with api.client(token="") as client:
        assert client.get("/deployment", headers={"Authorization": f"bEARER {TOKEN}"}).status_code == 200


def test_health_needs_no_token(api: RunningApi) -> None:
    with api.client(token="") as stranger:
        assert stranger.get("/health").json() == {"healthy": True, "leader": True, "problems": []}
        api.face.problem, api.face.leader = "two hosts are full", False
        api.face.host_problem = "host here: 0 of 2 cores are free"
        api.face.known["edge-2"] = api.face.known["edge-2"].model_copy(update={"health": "suspected"})
        response = stranger.get("/health")
    assert response.status_code == 200
    wrong = ["two hosts are full", "host here: 0 of 2 cores are free", "instance edge-2 is suspected"]
    assert response.json() == {"healthy": False, "leader": False, "problems": wrong}


def test_what_there_is(client: httpx.Client, api: RunningApi) -> None:
    assert client.get("/deployment").json() == api.face.deployment().model_dump()
    assert client.get("/instances").json() == {"instances": [one.model_dump() for one in api.face.instances()]}
    assert client.get("/instances/edge-2").json()["slot"] == 1
    assert client.get("/hosts").json()["hosts"][0]["name"] == "here"
    assert client.get("/steering").json()["members"] == ["edge-1", "edge-2"]


def test_what_is_done(client: httpx.Client, api: RunningApi) -> None:
    assert client.put("/size", json={"size": 3}).json()["size"] == 3
    assert client.put("/size", json={"size": None}).json()["scaling"] is True
    assert client.post("/instances/edge-1/drain", json={"drained": True}).json()["drained"] is True
    assert client.post("/instances/edge-1/drain", json={"drained": False}).json()["steered"] is True
    assert client.post("/instances/edge-2/kill").status_code == 204
    assert client.put("/deployment", content=DEPLOYMENT).json() == {"revision": 2}
    assert client.delete("/deployment").status_code == 204
    kinds = ["start", "scale", "scale", "drain", "drain", "kill", "reload", "down"]
    assert [event.kind for event in api.face.log] == kinds
    assert api.face.known["edge-2"].health == "ended"


def test_a_name_that_is_not_there(client: httpx.Client, api: RunningApi) -> None:
    for response in (client.get("/instances/edge-3"), client.post("/instances/edge-3/kill")):
        found = problem(response, 404)
        assert found.do == "did you mean 'edge-2'?"
        assert "edge-3" in found.detail
    assert problem(client.post("/instances/x/drain", json={"drained": True}), 404).type == "/problems/not-found"
    assert len(api.face.log) == 1


def kinds_of(tree: type[SnfError]) -> list[type[SnfError]]:
    return [tree, *(kind for child in tree.__subclasses__() for kind in kinds_of(child))]


STATUSES = {
    errors.Unauthorized: 401, errors.NotFound: 404, errors.Refused: 409, errors.NotLeader: 421,
    errors.ConfigError: 422, errors.BuildError: 422, errors.StoreUnavailable: 503, errors.StoreRefused: 502,
    errors.StoreReplyError: 502, errors.DriverError: 502, errors.SteeringError: 502, errors.StartFailed: 502,
}  # fmt: skip


@pytest.mark.parametrize("kind", kinds_of(SnfError))
def test_every_error_is_a_problem(kind: type[SnfError], client: httpx.Client, api: RunningApi) -> None:
    """And the client makes the same error of it again."""
    error = kind("what happened", "where it was", "what to do")
    api.face.failing = error
    found = problem(client.put("/size", json={"size": 2}), STATUSES.get(kind, found_in_table(kind)))
    assert (found.detail, found.where, found.do) == ("what happened", "where it was", "what to do")
    assert found.instance == "/size"
    again = error_of(found)
    assert again.line() == error.line()
    assert isinstance(error, type(again))


def found_in_table(kind: type[SnfError]) -> int:
    return next(int(status) for listed, status, _ in TABLE if issubclass(kind, listed))


def test_a_standby_says_who_leads(client: httpx.Client, api: RunningApi) -> None:
    api.face.leader = False
    assert client.get("/deployment").json()["leader"] is False
    assert problem(client.put("/size", json={"size": 2}), 421).where == "http://192.0.2.7:8470"


def test_the_store_may_come_back(client: httpx.Client, api: RunningApi) -> None:
    api.records.failing = errors.StoreUnavailable("the store is away")
    response = client.get("/flows")
    problem(response, 503)
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "where"),
    [
        ("GET", "/nowhere", {}, 404, ""),
        ("GET", "/deployment/", {}, 404, ""),
        ("GET", "/instances/%2e%2e%2fdeployment", {}, 404, ""),
        ("POST", "/deployment", {}, 405, ""),
        ("OPTIONS", "/size", {}, 405, ""),
        ("PUT", "/size", {}, 422, "body"),
        ("PUT", "/size", {"content": "{", "headers": JSON}, 400, ""),
        ("PUT", "/size", {"content": "[" * 100_000, "headers": JSON}, 400, ""),
        ("PUT", "/size", {"content": b"\xff", "headers": JSON}, 400, ""),
        ("PUT", "/size", {"content": '{"size": 1' + "0" * 5000 + "}", "headers": JSON}, 400, ""),
        ("PUT", "/size", {"data": {"size": "3"}}, 415, ""),
        ("PUT", "/size", {"json": {"size": "3"}}, 422, "body.size"),
        ("PUT", "/size", {"json": {"size": True}}, 422, "body.size"),
        ("PUT", "/size", {"json": {"size": 2.5}}, 422, "body.size"),
        ("PUT", "/size", {"json": {"size": -1}}, 422, "body.size"),
        ("PUT", "/size", {"json": {"size": 3, "\ud800": 1}}, 422, "body"),
        ("PUT", "/size", {"json": {"size": 9}}, 409, ""),
        ("POST", "/instances/edge-1/drain", {"json": {"drained": 1}}, 422, "body.drained"),
        ("PUT", "/deployment", {"content": "x ="}, 422, "deployment"),
        ("PUT", "/deployment", {"content": "x = " + "[" * 100_000}, 422, "deployment"),
        ("PUT", "/deployment", {"content": "x = " + "1" * 10_000}, 422, "deployment"),
        ("PUT", "/deployment", {"content": b"\xff"}, 422, "body"),
        ("PUT", "/deployment", {"content": NOWHERE}, 422, "deployment: function"),
        ("GET", "/events?after=-1", {}, 422, "query.after"),
        ("GET", "/events?most=100000", {}, 422, "query.most"),
        ("GET", "/flows?network=10.0.0.1/8", {}, 422, "query.network"),
        ("GET", "/flows?feild=state=3", {}, 422, "query.feild"),
        ("GET", "/deployment?x=1", {}, 422, "query.x"),
        ("GET", "/deployment?%ff=&&=", {}, 422, "query.\ufffd"),
        ("GET", "/flows?port=70000", {}, 422, "query.port"),
        ("GET", "/flows?field=state", {}, 422, "query.field[0]"),
        ("GET", "/flows?cursor=mine", {}, 409, "mine"),
        ("GET", "/flows/none", {}, 404, ""),
        ("PATCH", "/flows/flow-1", {"json": {"record": {}}}, 422, "body.record"),
        ("PATCH", "/flows/flow-1", {"json": {"record": {"state": 1 << 70}}}, 409, "state"),
        ("PATCH", "/flows/flow-1", {"json": {"record": {"speed": 1}}}, 409, "speed"),
    ],
)  # fmt: skip
def test_bad_requests(method: str, path: str, options: Any, status: int, where: str, client: httpx.Client) -> None:
    if "json" in options:  # httpx itself refuses what no encoding can send
        options = {"content": json.dumps(options["json"]), "headers": JSON}
    found = problem(client.request(method, path, **options), status)
    assert found.where == where
    assert found.instance


def test_allowed_methods_are_told(client: httpx.Client) -> None:
    assert client.post("/size").headers["allow"] == "PUT"


def test_a_misspelt_filter_shows_nothing(client: httpx.Client) -> None:
    assert problem(client.get("/flows?feild=state=3"), 422).do == "did you mean 'field'?"


def test_a_network_with_host_bits_is_corrected(client: httpx.Client) -> None:
    found = problem(client.get("/flows", params={"network": "10.0.0.1/8"}), 422)
    assert found.do == "write '10.0.0.0/8'"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body(chunked: bool, client: httpx.Client, api: RunningApi) -> None:
    """Up to the limit it is looked at; beyond, it is not even read where it says how large it is."""
    fits = b"#" * MOST_BODY
    content: Any = iter([fits, b"#"]) if chunked else fits + b"#"
    assert problem(client.put("/deployment", content=content), 413).instance == "/deployment"
    content = iter([fits]) if chunked else fits
    assert problem(client.put("/deployment", content=content), 422).where == "deployment: name"
    assert len(api.face.log) == 1


def test_events_page_by_page(client: httpx.Client, api: RunningApi) -> None:
    for n in range(4):
        api.face.tell("steer", f"edge-{n}", "")
    page = client.get("/events", params={"most": 3}).json()
    assert [event["number"] for event in page["events"]] == [1, 2, 3]
    page = client.get("/events", params={"after": page["last"]}).json()
    assert [event["number"] for event in page["events"]] == [4, 5]
    assert client.get("/events", params={"after": page["last"]}).json() == {"events": [], "last": 5}


def test_events_as_they_happen(client: httpx.Client, api: RunningApi) -> None:
    with client.stream("GET", "/events", params={"follow": True}) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = response.iter_lines()
        assert json.loads(next(lines))["kind"] == "start"
        api.tell("suspect", "edge-1", "no beat for 15 ms")
        assert json.loads(next(lines))["text"] == "no beat for 15 ms"
        assert api.face.followers == 1
    assert eventually(lambda: api.face.followers == 0)


def test_a_quiet_stream_shows_that_it_lives(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a client that is gone for good is noticed."""
    monkeypatch.setattr("statelessnf.api.events.QUIET", 0.01)
    with client.stream("GET", "/events", params={"follow": True, "after": 1}) as response:
        assert next(response.iter_raw()) == b"\n"


def ids(response: httpx.Response) -> list[str]:
    return [record["id"] for record in response.json()["records"]]


def test_flows(client: httpx.Client) -> None:
    assert len(ids(client.get("/flows"))) == 5
    assert ids(client.get("/flows?network=10.0.0.2/31&protocol=tcp")) == ["flow-2", "flow-3"]
    assert ids(client.get("/flows?field=state=3&field=flags=1")) == ["flow-1", "flow-3", "flow-5"]
    assert ids(client.get("/flows?field=state=3&field=flags=2")) == []
    assert ids(client.get("/flows?port=444")) == []
    page = client.get("/flows?limit=2")
    assert ids(page) == ["flow-1", "flow-2"]
    assert ids(client.get("/flows", params={"limit": 2, "cursor": page.json()["cursor"]})) == ["flow-3", "flow-4"]


def test_one_flow(client: httpx.Client, api: RunningApi) -> None:
    assert client.get("/flows/flow-2").json()["low"] == {"address": "10.0.0.2", "port": 40000}
    assert client.patch("/flows/flow-2", json={"record": {"state": 7.0}}).json()["record"] == {"state": 7, "flags": 1}
    assert client.delete("/flows/flow-2").json()["record"]["state"] == 7
    problem(client.get("/flows/flow-2"), 404)
    assert len(api.records.known) == 4


def test_a_baseline_has_no_flows_to_show(client: httpx.Client, api: RunningApi) -> None:
    api.serve_records(None)
    assert "baseline" in problem(client.get("/flows"), 409).detail


def test_a_fault_of_ours_is_a_problem_document(client: httpx.Client, api: RunningApi) -> None:
    def broken(*_: object) -> None:
        raise KeyError("edge-1")

    api.face.kill = broken  # type: ignore[method-assign, assignment]
    assert problem(client.post("/instances/edge-1/kill"), 500).detail == "internal error"


def test_a_token_that_is_none() -> None:
    from statelessnf.api.app import make_app

    with pytest.raises(errors.ConfigError, match="token"):
        make_app(FakeFace(), "", FakeRecords())
