"""HTTP/JSON to gRPC, derived from the descriptors: template → matcher → binder → message → encoder → framer."""
