"""What streams must not leave behind in a hub, and how often that is tried."""

CYCLES = 10_000
"""Streams that are opened and left, one after the other."""
NOTHING = {"open": 0, "readers": 0, "sets": 0, "waiting": 0}


def leftovers(hub):
    """What must be zero when no stream is open."""
    channels = hub.intake.channels()
    return {
        "open": hub.counts().open,
        "readers": sum(channel.readers for channel in channels),
        "sets": sum(len(channel.wanted) for channel in channels),
        "waiting": sum(pulse.waiting for channel in channels for pulse in channel.pulses.values()),
    }
