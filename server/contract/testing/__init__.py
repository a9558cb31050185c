"""Contract tests made from the protos, as a pytest plugin over pytest-grpc's fixtures.

Client teams run them against a system of theirs:

    pytest -p server.contract.testing.plugin --pyargs server.contract.testing.suite \
        --strikeline-grpc HOST:PORT --strikeline-http URL --strikeline-keys PRIVATE_JWKS

Nothing lists the RPCs: each test runs for every method of the contract. `examples/` has, a table a service, requests
that succeed; a method that is missing there gets the smallest request that the contract allows.
"""
