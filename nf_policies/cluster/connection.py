"""The connection to a Ray cluster, and its errors in one sentence each."""

import logging
import os
import signal
import socket
import warnings
from typing import Any

from nf_policies.tasks.faults import TaskError
from nf_policies.wording import in_short

REACH = 5.0
"""Seconds that the head has to accept a connection."""
WITH_NODE = "died with its node"


class ClusterError(TaskError):
    """A cluster that cannot be reached or used; the message says why."""


def reach(address: str) -> None:
    """Connect to HOST:PORT and hang up; an OSError if nobody answers."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), REACH).close()


def connected(address: str, workers: int | None) -> Any:
    """The module ray, connected to a cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise ClusterError("--ray needs Ray: pip install 'nf-policies[ray]'.") from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "include_dashboard": None}
    if address:
        host, colon, port = address.rpartition(":")
        if not (colon and port.isdigit()):
            raise ClusterError(
                f"The address of a Ray cluster is HOST:PORT, as `ray start --head` prints it, not {address}."
            )
        try:
            reach(address)
        except OSError as error:
            reason = error.strerror or error
            raise ClusterError(
                f"There is no Ray cluster at {address} ({reason}): `ray start --head` begins one."
            ) from error
        if host.startswith("127."):  # Ray would look for this machine's node at another address
            quiet["_node_ip_address"] = host
    else:
        quiet |= {"include_dashboard": False, "num_cpus": workers}
    before = signal.getsignal(signal.SIGTERM)  # Ray puts its own in its place
    try:
        ray.init(address or "local", **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = in_short(error, 300)
        raise ClusterError(f"The Ray cluster{f' at {address}' if address else ''} cannot be used: {reason}") from error
    finally:
        signal.signal(signal.SIGTERM, before)
    return ray


def reason_of(error: Exception) -> str:
    """What happened to a worker, in a few words."""
    text = " ".join(str(error).split())
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):  # of a constructor, or what no worker could read
        return f"raised {type(cause).__name__}: {cause}"
    if "ModuleNotFoundError" in text:
        return text[text.index("ModuleNotFoundError") :].split(" At least")[0][:200]
    return WITH_NODE if "because its node" in text or type(error).__name__ == "NodeDiedError" else "died"


def warn(message: str) -> None:
    """Tell the user and go on."""
    warnings.warn(message, RuntimeWarning, stacklevel=3)
