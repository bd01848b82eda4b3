"""The makers of the tables and moment files of this folder, one file a setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from makers.afrobarometer import (
    afrobarometer_nonresponse,
    afrobarometer_r3,
    afrobarometer_r3_pairs,
    afrobarometer_r4,
    afrobarometer_r4_pairs,
    afrobarometer_r4_unweighted,
    afrobarometer_tunisia,
)
from makers.burkina_faso import burkina_faso_communes
from makers.common import Made, MadeMoments
from makers.eu import eu_regions
from makers.kazakhstan import (
    kazakhstan_budgets,
    kazakhstan_map,
    kazakhstan_regions,
    kazakhstan_withdrawals,
)
from makers.russia import russia_cities
from makers.tai import tai
from makers.ukraine import ukraine_hromadas
from makers.vietnam import vietnam_provinces
from makers.world import world_countries, world_panel

TABLES: dict[str, Callable[[Path], Made]] = {
    "ukraine_hromadas": ukraine_hromadas,
    "eu_regions": eu_regions,
    "tai": tai,
    "world_panel": world_panel,
    "world_countries": world_countries,
    "kazakhstan_regions": kazakhstan_regions,
    "kazakhstan_budgets": kazakhstan_budgets,
    "kazakhstan_withdrawals": kazakhstan_withdrawals,
    "kazakhstan_map": kazakhstan_map,
    "vietnam_provinces": vietnam_provinces,
    "burkina_faso_communes": burkina_faso_communes,
    "russia_cities": russia_cities,
    "afrobarometer_nonresponse": afrobarometer_nonresponse,
}

MOMENTS: dict[str, Callable[[Path], MadeMoments]] = {
    "afrobarometer_r4": afrobarometer_r4,
    "afrobarometer_r4_unweighted": afrobarometer_r4_unweighted,
    "afrobarometer_r4_pairs": afrobarometer_r4_pairs,
    "afrobarometer_r3": afrobarometer_r3,
    "afrobarometer_r3_pairs": afrobarometer_r3_pairs,
    "afrobarometer_tunisia": afrobarometer_tunisia,
}
