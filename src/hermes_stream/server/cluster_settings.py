"""Options of a service of several replicas; see docs/scaling.md."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

AtLeastOne = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# a file says a number, or "auto"
Count = Annotated[str, Field(pattern="^(auto|[1-9][0-9]{0,4})$"), BeforeValidator(str)]


class ClusterSettings(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Options of replicas behind one gateway."""

    cluster: bool = False
    """Run replicas behind one address, on Ray Serve; needs `store` in Postgres, a data folder all share."""
    replicas: Count = "auto"
    """Processes with an engine each, or `auto`: as many as the streams need."""
    max_replicas: AtLeastOne = 8
    """Replicas at most, with `auto`."""
    replica_cpus: Positive = 1.0
    """Cores that Ray keeps for a replica."""
    replica_gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """GPUs that Ray keeps for a replica, or a part of one."""
    gateways: AtLeastOne = 2
    """Gateways, which hold nothing and share the port: while one ends, or is replaced, another answers."""
    lease_seconds: Annotated[float, Field(ge=1, le=300)] = 5.0
    """How long a replica has its streams after a sign of life; then others take them."""
    scale_down_seconds: Positive = 600.0
    """How long fewer replicas must do, with `auto`, before one gives its streams to others and ends."""
    ray_address: str | None = None
    """Ray cluster that `hermes cluster deploy` goes to, `HOST:6379`; else that of RAY_ADDRESS, or here."""

    @property
    def num_replicas(self) -> int | None:
        """How many replicas are asked for; None where it follows the streams."""
        return None if self.replicas == "auto" else int(self.replicas)
