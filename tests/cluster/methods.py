"""Methods of gRPC services, by the messages that they take and return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable


def unary(
    answer: Callable[[Any, Any], Any], request: Any, response: Any
) -> grpc.RpcMethodHandler[Any, Any]:
    """Return a method that answers one message with one."""
    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=request.FromString,
        response_serializer=response.SerializeToString,
    )
