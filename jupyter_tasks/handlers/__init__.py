"""REST, WebSocket, SSE and the UNIX socket: decode, ask the manager, encode."""
