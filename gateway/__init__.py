"""The gateway: HTTP/JSON, NDJSON, SSE and WebSocket in front of the gRPC api. It keeps no state."""
