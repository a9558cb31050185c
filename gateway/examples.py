"""A body for each method that takes one: what the documentation shows, and its page sends when nobody changes it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.transcoder.values import JsonObject

_CSV = (
    "aW5zdHJ1bWVudF90b2tlbixleGNoYW5nZV90b2tlbix0cmFkaW5nc3ltYm9sLG5hbWUsbGFzdF9wcmljZSxleHBpcnksc3RyaWtlLHRpY2tfc2l6"
    "ZSxsb3Rfc2l6ZSxpbnN0cnVtZW50X3R5cGUsc2VnbWVudCxleGNoYW5nZQo0MDgwNjUsMTU5NCxJTkZZLElORk9TWVMsMCwsMCwwLjA1LDEsRVEs"
    "TlNFLE5TRQo="
)
"""The broker's CSV with one share, in base64."""

BODIES: Mapping[str, JsonObject] = MappingProxyType(
    {
        "AccountService.CreateAccount": {"displayName": "Options desk"},
        "InstrumentService.CreateFeedSubscription": {"instruments": ["NSE:INFY", "NSE:NIFTY 50"]},
        "InstrumentService.ImportInstruments": {"csv": _CSV},
        "InstrumentService.StartBackfill": {
            "instruments": ["NSE:INFY"],
            "startTime": "2025-11-24T03:45:00Z",
            "endTime": "2025-11-24T10:00:00Z",
        },
        "MarketDataService.AnalyzeDepth": {"instrument": "NSE:INFY", "quantities": ["100"]},
        "MarketDataService.CreateMonitorSession": {"instruments": ["NSE:INFY", "NSE:NIFTY 50"]},
        "MarketDataService.UpdateMonitorSession": {"instruments": ["NSE:INFY"]},
        "OptionService.CalculateGreeks": {
            "inputs": [
                {
                    "optionType": "OPTION_TYPE_CALL",
                    "strike": 24200,
                    "spot": 24000,
                    "yearsToExpiry": 0.1,
                    "volatility": 0.12,
                }
            ]
        },
        "StrategyService.ArchiveStrategy": {},
        "StrategyService.CloseLeg": {"exitPrice": "121.35"},
        "StrategyService.CloseStrategy": {},
        "StrategyService.CreateLeg": {
            "instrument": "NSE:INFY",
            "side": "SIDE_BUY",
            "quantity": "50",
            "entryPrice": "1520.50",
        },
        "StrategyService.CreateStrategy": {"displayName": "Iron condor", "tags": ["weekly"]},
        "StrategyService.UpdateLeg": {"notes": "moved up a strike"},
        "StrategyService.UpdateStrategy": {"displayName": "Iron condor, wide"},
        "SystemService.CancelStream": {},
        "SystemService.CreateStreamTicket": {},
    }
)
"""By service and method, as HTTP takes them: without what stands in the path."""
