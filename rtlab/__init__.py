"""rtlab: learn, teach and measure real-time web communication in a notebook.

The public names are imported when they are first used, so that ``import rtlab``
itself stays quick.

The only modules next to the subpackages are `errors`, `pace` and `resources`. This module imports
only the standard library when it is loaded. It never holds other code, and no module of rtlab
imports from it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rtlab import pace as pace
    from rtlab.capture.annotate_handshake import annotate_handshake as annotate_handshake
    from rtlab.capture.tcp_tap import Tap as Tap
    from rtlab.client.auth.login_and_token_refresh import Tokens as Tokens
    from rtlab.client.reconnecting_clients.long_polling import LongPolling as LongPolling
    from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents as ServerSentEvents
    from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel as WebRTCChannel
    from rtlab.client.reconnecting_clients.websocket_connection import (
        WebSocketConnection as WebSocketConnection,
    )
    from rtlab.client.send_throttle import Throttle as Throttle
    from rtlab.errors import NotConnected as NotConnected
    from rtlab.errors import RtlabError as RtlabError
    from rtlab.figures.chart_style.matplotlib_style import Chart as Chart
    from rtlab.figures.chart_style.matplotlib_style import dress as dress
    from rtlab.figures.chart_style.palette import PALETTE as PALETTE
    from rtlab.hooks.provider import WebSocketProvider as WebSocketProvider
    from rtlab.hooks.provider import use_websocket_context as use_websocket_context
    from rtlab.hooks.use_websocket import use_websocket as use_websocket
    from rtlab.hooks.websocket_reducer import websocket_reducer as websocket_reducer
    from rtlab.lab.lab import Lab as Lab
    from rtlab.measure.delivery_ledger import Ledger as Ledger
    from rtlab.measure.recorder import Recorder as Recorder
    from rtlab.patterns.end_to_end_encryption import Box as Box
    from rtlab.patterns.end_to_end_encryption import Identity as Identity
    from rtlab.patterns.message_batcher import MessageBatcher as MessageBatcher
    from rtlab.patterns.offline_message_queue import MessageQueue as MessageQueue
    from rtlab.patterns.realtime_client import RealtimeClient as RealtimeClient
    from rtlab.patterns.room_manager import RoomManager as RoomManager
    from rtlab.patterns.secure_websocket import SecureWebSocket as SecureWebSocket
    from rtlab.patterns.websocket_pool import WebSocketPool as WebSocketPool
    from rtlab.policies.backoff import Constant as Constant
    from rtlab.processes.owned_tasks import together as together
    from rtlab.protocol.message_format import Message as Message
    from rtlab.resources import data_path as data_path
    from rtlab.testing.mock.mock_websocket import MockWebSocket as MockWebSocket
    from rtlab.testing.recordings.live_connection_recorder import WireRecording as WireRecording
    from rtlab.testing.recordings.replayed_connection import Replay as Replay
    from rtlab.widgets.batching_explorer import BatchingExplorer as BatchingExplorer
    from rtlab.widgets.live_latency_plot import LatencyPlot as LatencyPlot
    from rtlab.widgets.panels.chat_panel import ChatPanel as ChatPanel
    from rtlab.widgets.panels.connection_inspector import ConnectionInspector as ConnectionInspector
    from rtlab.widgets.panels.fault_panel import FaultPanel as FaultPanel
    from rtlab.widgets.panels.metrics_board import MetricsBoard as MetricsBoard
    from rtlab.widgets.panels.queue_panel import QueuePanel as QueuePanel
    from rtlab.widgets.panels.rooms_panel import RoomsPanel as RoomsPanel
    from rtlab.widgets.panels.wire_timeline import WireTimeline as WireTimeline
    from rtlab.widgets.verdicts import expect as expect
    from rtlab.widgets.verdicts.plain_table import PlainTable as PlainTable
    from rtlab.widgets.verdicts.predict import Predict as Predict
    from rtlab.widgets.verdicts.verdict_row import marked as marked
    from rtlab.widgets.verdicts.verdict_table import Verdicts as Verdicts

__version__ = "0.1.0"

#: The module that defines each public name; a test keeps this table equal to the imports above.
_HOME: Final[dict[str, str]] = {
    "BatchingExplorer": "rtlab.widgets.batching_explorer",
    "Box": "rtlab.patterns.end_to_end_encryption",
    "Chart": "rtlab.figures.chart_style.matplotlib_style",
    "ChatPanel": "rtlab.widgets.panels.chat_panel",
    "ConnectionInspector": "rtlab.widgets.panels.connection_inspector",
    "Constant": "rtlab.policies.backoff",
    "FaultPanel": "rtlab.widgets.panels.fault_panel",
    "Identity": "rtlab.patterns.end_to_end_encryption",
    "Lab": "rtlab.lab.lab",
    "LatencyPlot": "rtlab.widgets.live_latency_plot",
    "Ledger": "rtlab.measure.delivery_ledger",
    "LongPolling": "rtlab.client.reconnecting_clients.long_polling",
    "Message": "rtlab.protocol.message_format",
    "MessageBatcher": "rtlab.patterns.message_batcher",
    "MessageQueue": "rtlab.patterns.offline_message_queue",
    "MetricsBoard": "rtlab.widgets.panels.metrics_board",
    "PALETTE": "rtlab.figures.chart_style.palette",
    "MockWebSocket": "rtlab.testing.mock.mock_websocket",
    "NotConnected": "rtlab.errors",
    "PlainTable": "rtlab.widgets.verdicts.plain_table",
    "Predict": "rtlab.widgets.verdicts.predict",
    "QueuePanel": "rtlab.widgets.panels.queue_panel",
    "RealtimeClient": "rtlab.patterns.realtime_client",
    "Recorder": "rtlab.measure.recorder",
    "Replay": "rtlab.testing.recordings.replayed_connection",
    "RoomManager": "rtlab.patterns.room_manager",
    "RoomsPanel": "rtlab.widgets.panels.rooms_panel",
    "RtlabError": "rtlab.errors",
    "SecureWebSocket": "rtlab.patterns.secure_websocket",
    "ServerSentEvents": "rtlab.client.reconnecting_clients.server_sent_events",
    "Tap": "rtlab.capture.tcp_tap",
    "Throttle": "rtlab.client.send_throttle",
    "Tokens": "rtlab.client.auth.login_and_token_refresh",
    "Verdicts": "rtlab.widgets.verdicts.verdict_table",
    "WebRTCChannel": "rtlab.client.reconnecting_clients.webrtc_channel",
    "WebSocketConnection": "rtlab.client.reconnecting_clients.websocket_connection",
    "WebSocketPool": "rtlab.patterns.websocket_pool",
    "WebSocketProvider": "rtlab.hooks.provider",
    "WireRecording": "rtlab.testing.recordings.live_connection_recorder",
    "WireTimeline": "rtlab.widgets.panels.wire_timeline",
    "annotate_handshake": "rtlab.capture.annotate_handshake",
    "data_path": "rtlab.resources",
    "dress": "rtlab.figures.chart_style.matplotlib_style",
    "expect": "rtlab.widgets.verdicts.expect",
    "marked": "rtlab.widgets.verdicts.verdict_row",
    "pace": "rtlab.pace",
    "together": "rtlab.processes.owned_tasks",
    "use_websocket": "rtlab.hooks.use_websocket",
    "use_websocket_context": "rtlab.hooks.provider",
    "websocket_reducer": "rtlab.hooks.websocket_reducer",
}

#: The public names that are whole modules.
_MODULES: Final = frozenset({"expect", "pace"})

__all__ = ["__version__", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'rtlab' has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
