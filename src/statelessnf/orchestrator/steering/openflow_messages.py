"""Messages to an OpenFlow 1.3 switch, made by os-ken, of which nothing else is used.

They bear the transaction number 0 until they are sent (openflow_channel.py). Its import takes a third of a second and
30 MB: this module is imported where the steering is of kind `openflow`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable

from os_ken.ofproto import ofproto_v1_3 as openflow
from os_ken.ofproto import ofproto_v1_3_parser as messages

from statelessnf.orchestrator.steering.openflow_program import COOKIE_MASK, Bucket, Flow, Group

_KINDS = {"select": openflow.OFPGT_SELECT, "all": openflow.OFPGT_ALL, "failover": openflow.OFPGT_FF}
_REMEMBERED = 16_384
_NONE = [0, 0]  # for the roles master or equal, and slave


class _Version:
    """What os-ken's messages want to know of a datapath."""

    ofproto, ofproto_parser = openflow, messages


_VERSION = _Version()


def _encoded(message: messages.MsgBase) -> bytes:
    message.set_xid(0)
    message.serialize()
    return bytes(message.buf)


def hello() -> bytes:
    """Of OpenFlow 1.3, and of nothing else."""
    return _encoded(messages.OFPHello(_VERSION))


def version_refused() -> bytes:
    """To a switch that does not speak OpenFlow 1.3."""
    kind, code = openflow.OFPET_HELLO_FAILED, openflow.OFPHFC_INCOMPATIBLE
    return _encoded(messages.OFPErrorMsg(_VERSION, kind, code, b"StatelessNF speaks OpenFlow 1.3"))


def features_request() -> bytes:
    """Who are you?"""
    return _encoded(messages.OFPFeaturesRequest(_VERSION))


def port_news_only() -> bytes:
    """The switch is to tell of ports, and neither to send packets nor to report removed flow entries."""
    news = [1 << openflow.OFPPR_ADD | 1 << openflow.OFPPR_DELETE | 1 << openflow.OFPPR_MODIFY, 0]
    return _encoded(messages.OFPSetAsync(_VERSION, _NONE, news, _NONE))


def echo_request() -> bytes:
    """Are you there?"""
    return _encoded(messages.OFPEchoRequest(_VERSION, b""))


def echo_reply(data: bytes) -> bytes:
    """I am."""
    return _encoded(messages.OFPEchoReply(_VERSION, data))


def barrier_request() -> bytes:
    """Answered when all before it has been done."""
    return _encoded(messages.OFPBarrierRequest(_VERSION))


def ports_request() -> bytes:
    """All ports: name, number, state."""
    return _encoded(messages.OFPPortDescStatsRequest(_VERSION, 0))


def counts_request() -> bytes:
    """Counters of all ports."""
    return _encoded(messages.OFPPortStatsRequest(_VERSION, 0, openflow.OFPP_ANY))


def groups_request() -> bytes:
    """All groups."""
    return _encoded(messages.OFPGroupDescStatsRequest(_VERSION, 0))


def flows_request(table: int, cookie: int) -> bytes:
    """The flow entries of this deployment."""
    every = (openflow.OFPP_ANY, openflow.OFPG_ANY)
    return _encoded(messages.OFPFlowStatsRequest(_VERSION, 0, table, *every, cookie, COOKIE_MASK))


class Buckets:
    """Makes groups. What a bucket looks like is remembered: many groups share theirs, and os-ken takes 12 µs each."""

    def __init__(self) -> None:
        self._known: dict[Bucket, _Ready] = {}

    def added(self, number: int, group: Group) -> bytes:
        """A new group."""
        return self._change(openflow.OFPGC_ADD, number, group)

    def modified(self, number: int, group: Group) -> bytes:
        """A group that is there, in one step."""
        return self._change(openflow.OFPGC_MODIFY, number, group)

    def _change(self, command: int, number: int, group: Group) -> bytes:
        buckets = list(map(self._ready, group.buckets))
        return _encoded(messages.OFPGroupMod(_VERSION, command, _KINDS[group.kind], number, buckets))

    def _ready(self, bucket: Bucket) -> _Ready:
        if bucket not in self._known:
            if len(self._known) == _REMEMBERED:  # a switch that gives its ports ever new numbers fills nothing
                self._known.clear()
            self._known[bucket] = _Ready(bucket)
        return self._known[bucket]


def group_removed(number: int) -> bytes:
    """Also of one that is not there."""
    return _encoded(messages.OFPGroupMod(_VERSION, openflow.OFPGC_DELETE, openflow.OFPGT_ALL, number, []))


def flow_added(table: int, cookie: int, flow: Flow) -> bytes:
    """Takes the place of an entry of the same priority and match."""
    instruction = messages.OFPInstructionActions(openflow.OFPIT_APPLY_ACTIONS, list(_actions(flow.to)))
    entry = {"table_id": table, "cookie": cookie, "command": openflow.OFPFC_ADD, "priority": flow.priority}
    match = messages.OFPMatch(**dict(flow.match))
    return _encoded(messages.OFPFlowMod(_VERSION, match=match, instructions=[instruction], **entry))


def flows_removed(table: int, cookie: int, mask: int) -> bytes:
    """Entries whose cookie is this one, as far as the mask goes."""
    every = {"out_port": openflow.OFPP_ANY, "out_group": openflow.OFPG_ANY, "command": openflow.OFPFC_DELETE}
    return _encoded(messages.OFPFlowMod(_VERSION, cookie=cookie, cookie_mask=mask, table_id=table, **every))


def error_name(kind: int, code: int) -> str:
    """Type and code of an error as OpenFlow names them, e.g. OFPET_GROUP_MOD_FAILED(6), OFPGMFC_LOOP(3)."""
    return f"{openflow.ofp_error_type_to_str(kind)}, {openflow.ofp_error_code_to_str(kind, code)}"


def _actions(bucket: Bucket) -> Iterable[messages.OFPAction]:
    if bucket.port:
        yield messages.OFPActionOutput(bucket.port, openflow.OFPCML_NO_BUFFER)
    if bucket.group:
        yield messages.OFPActionGroup(bucket.group)


class _Ready:
    """A bucket, encoded: os-ken asks one for `len` and `serialize`."""

    def __init__(self, bucket: Bucket) -> None:
        watch = bucket.watch or openflow.OFPP_ANY
        made = messages.OFPBucket(bucket.weight, watch, openflow.OFPG_ANY, list(_actions(bucket)))
        self._bytes = bytearray()
        made.serialize(self._bytes, 0)
        self.len = made.len

    def serialize(self, buffer: bytearray, offset: int) -> None:
        """Puts itself at the end of a message that has been filled up to `offset`."""
        buffer[offset:] = self._bytes
