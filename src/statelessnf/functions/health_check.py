"""How a deployment file says by which check a server is known to be up: [load_balancer.services.check]."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Port = Annotated[int, Field(ge=1, le=65535)]
Status = Annotated[int, Field(ge=100, le=599)]
Milliseconds = Annotated[int, Field(ge=10, le=3_600_000)]
_HTTP_ONLY = ("path", "host", "status")


class HealthCheck(BaseModel):
    """One check, run against each server of a pool. Defaults of interval, rise and fall are HAProxy's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Literal["tcp", "http"]
    port: Port | None = None  # by default the server's
    path: str = Field(default="/", max_length=2000)
    host: str | None = Field(default=None, min_length=1, max_length=253)  # by default the server's address
    status: tuple[Status, ...] = Field(default=(200,), min_length=1, strict=False)
    interval_ms: Milliseconds = 2000
    timeout_ms: Milliseconds = 1000
    rise: int = Field(default=2, ge=1, le=100)  # so many in a row that pass: up
    fall: int = Field(default=3, ge=1, le=100)  # so many in a row that fail: down

    @model_validator(mode="after")
    def _can_work(self) -> "HealthCheck":
        if self.timeout_ms >= self.interval_ms:
            text = f"timeout_ms = {self.timeout_ms} is not below interval_ms = {self.interval_ms}"
            raise ValueError(f"{text}, so that checks would overlap; lower it")
        given = [name for name in _HTTP_ONLY if name in self.model_fields_set]
        if self.kind == "tcp" and given:
            raise ValueError(f"{given[0]} means nothing to a check that only connects; set kind = 'http'")
        if not self.path.startswith("/"):
            raise ValueError(f"path {self.path!r} is no path; write {'/' + self.path!r}")
        for text in (self.path, self.host or "-"):
            if not all("!" <= letter <= "~" for letter in text):
                raise ValueError(f"{text!r} has characters that no request line may have; encode them as %xx")
        return self
