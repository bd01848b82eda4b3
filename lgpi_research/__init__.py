"""Local-governance data into an index that can be defended, and a claim with its limits stated."""

from lgpi_research.agreement import Agreement, assess_agreement
from lgpi_research.alignment import AlignedScales, assess_alignment
from lgpi_research.autonomy import BudgetProfile, assess_budgets
from lgpi_research.chunks import moments_from_dask, moments_from_file
from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.comparison import Comparison, compare_settings
from lgpi_research.consensus import Consensus, assess_consensus
from lgpi_research.datasets import (
    list_datasets,
    list_recipes,
    load_dataset,
    load_eu_regions,
    load_moments,
    load_tai,
    load_ukraine_hromadas,
)
from lgpi_research.decomposition import VarianceDecomposition, decompose_variance
from lgpi_research.dimensions import Dimensionality, assess_dimensions
from lgpi_research.ecometrics import EcometricScores, assess_ecometrics
from lgpi_research.errors import DataError, LGPIError, MethodError, SpecError
from lgpi_research.estimates import Estimates, estimate_survey
from lgpi_research.indicators import Indicators
from lgpi_research.invariance import Invariance, assess_invariance
from lgpi_research.links import LinkResult, link_autonomy
from lgpi_research.loading import load_study
from lgpi_research.measurement import MeasurementModel, fit_measurement_model
from lgpi_research.moments import Moments, sum_moments
from lgpi_research.nonresponse import Nonresponse, assess_nonresponse
from lgpi_research.readers import read_table
from lgpi_research.registry import aggregator, coefficient, estimator, normaliser, use, weigher
from lgpi_research.reliability import Reliability, assess_reliability
from lgpi_research.report import write_report
from lgpi_research.results import Result, load_result
from lgpi_research.scoring import Scores, score_index
from lgpi_research.sensitivity import Sensitivity, assess_sensitivity
from lgpi_research.simulate import simulate_survey
from lgpi_research.smoothing import PlaceScores, smooth_places
from lgpi_research.spec import IndexSpec, LinkDesign, Variation
from lgpi_research.specifications import (
    SpecificationCurve,
    compare_specifications,
    control_subsets,
)
from lgpi_research.stability import Stability, assess_stability
from lgpi_research.study import Study, StudyResults, compare_studies
from lgpi_research.survey import Survey, SurveyDesign
from lgpi_research.survey_models import SurveyRegression, regress_survey
from lgpi_research.synthesis import Synthesis, synthesise
from lgpi_research.version import __version__
from lgpi_research.weighting import Calibration, calibrate_survey

__all__ = [
    "Agreement",
    "AlignedScales",
    "BudgetProfile",
    "Calibration",
    "Codebook",
    "Comparison",
    "Consensus",
    "DataError",
    "Dimensionality",
    "EcometricScores",
    "Estimates",
    "IndexSpec",
    "Indicator",
    "Indicators",
    "Invariance",
    "LGPIError",
    "LinkDesign",
    "LinkResult",
    "MeasurementModel",
    "MethodError",
    "Moments",
    "Nonresponse",
    "PlaceScores",
    "Reliability",
    "Result",
    "Scores",
    "Sensitivity",
    "SpecError",
    "SpecificationCurve",
    "Stability",
    "Study",
    "StudyResults",
    "Survey",
    "SurveyDesign",
    "SurveyRegression",
    "Synthesis",
    "VarianceDecomposition",
    "Variation",
    "__version__",
    "aggregator",
    "assess_agreement",
    "assess_alignment",
    "assess_budgets",
    "assess_consensus",
    "assess_dimensions",
    "assess_ecometrics",
    "assess_invariance",
    "assess_nonresponse",
    "assess_reliability",
    "assess_sensitivity",
    "assess_stability",
    "calibrate_survey",
    "coefficient",
    "compare_settings",
    "compare_specifications",
    "compare_studies",
    "control_subsets",
    "decompose_variance",
    "estimate_survey",
    "estimator",
    "fit_measurement_model",
    "link_autonomy",
    "list_datasets",
    "list_recipes",
    "load_dataset",
    "load_eu_regions",
    "load_moments",
    "load_result",
    "load_study",
    "load_tai",
    "load_ukraine_hromadas",
    "moments_from_dask",
    "moments_from_file",
    "normaliser",
    "read_table",
    "regress_survey",
    "score_index",
    "simulate_survey",
    "smooth_places",
    "sum_moments",
    "synthesise",
    "use",
    "weigher",
    "write_report",
]
