"""The panels that a dashboard of options can show, as data."""

from __future__ import annotations

from typing import Final

from server.services.paging import page_of
from strikeline.v1 import option_distribution_pb2 as pb
from strikeline.v1 import option_pb2

_SERIES: Final = "strikeline.v1.OptionService/ListMoneynessSeries"
_METRICS: Final = "strikeline.v1.OptionService/ListExpiryMetrics"
_STRIKES: Final = "strikeline.v1.OptionService/GetStrikeDistribution"

_OVER_TIME: Final = (
    ("iv_panel", "Implied volatility", "IMPLIED_VOLATILITY", True, _SERIES),
    ("delta_panel", "Delta", "DELTA", True, _SERIES),
    ("gamma_panel", "Gamma", "GAMMA", False, _SERIES),
    ("theta_panel", "Theta", "THETA", False, _SERIES),
    ("vega_panel", "Vega", "VEGA", False, _SERIES),
    ("oi_panel", "Open interest", "OPEN_INTEREST", True, _SERIES),
    ("pcr_panel", "Put-call ratio", "PCR", True, _METRICS),
    ("max_pain_panel", "Max pain", "MAX_PAIN", True, _METRICS),
)
_BY_STRIKE: Final = (
    ("iv_strike_panel", "Implied volatility by strike", "IMPLIED_VOLATILITY", True),
    ("delta_strike_panel", "Delta by strike", "DELTA", False),
    ("gamma_strike_panel", "Gamma by strike", "GAMMA", False),
    ("theta_strike_panel", "Theta by strike", "THETA", False),
    ("vega_strike_panel", "Vega by strike", "VEGA", False),
    ("oi_strike_panel", "Open interest by strike", "OPEN_INTEREST", False),
    ("pcr_strike_panel", "Put-call ratio by strike", "PCR", True),
)


def list_analytics_panels(request: pb.ListAnalyticsPanelsRequest) -> pb.ListAnalyticsPanelsResponse:
    """The panels, those over time first."""
    over_time = (_panel(*row, axis=pb.PANEL_AXIS_TIME) for row in _OVER_TIME)
    by_strike = (_panel(*row, _STRIKES, axis=pb.PANEL_AXIS_STRIKE) for row in _BY_STRIKE)
    page = page_of([*over_time, *by_strike], ("panels",), request.page_size, request.page_token)
    return pb.ListAnalyticsPanelsResponse(
        panels=page.items, next_page_token=page.next_page_token, total_size=page.total_size or 0
    )


def _panel(
    panel: str, title: str, indicator: str, shown: bool, method: str, *, axis: pb.PanelAxis.ValueType
) -> pb.AnalyticsPanel:
    return pb.AnalyticsPanel(
        panel=panel,
        display_name=title,
        indicator=option_pb2.OptionIndicator.Value(f"OPTION_INDICATOR_{indicator}"),
        axis=axis,
        shown_by_default=shown,
        method=method,
    )
