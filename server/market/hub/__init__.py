"""Fan-out of market data to streams: one reader per Redis stream, each event encoded once, any number of subscribers.

Where an event goes: `readers` take entries from Redis, a topic (`ticks`, `bars`, `m2m`) turns each into encoded events
of a `Channel`, the channel's pulses wake the streams that want them, and a `Delivery` joins the bytes into envelopes.
"""
