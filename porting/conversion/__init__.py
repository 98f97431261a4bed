"""Conversion: open a checkpoint, identify its model, plan the port into another layout, and write it."""

from porting.conversion.job import SAFETENSORS_FORMAT, check_files, convert, job_of, write_random
from porting.conversion.planning import (
    USUAL_LAYOUT,
    Port,
    fitting,
    identify_checkpoint,
    plan_port,
    translate,
    usual_layout,
)
from porting.conversion.report import ConvertReport, count_dtypes

__all__ = [
    "SAFETENSORS_FORMAT",
    "USUAL_LAYOUT",
    "ConvertReport",
    "Port",
    "check_files",
    "convert",
    "count_dtypes",
    "fitting",
    "identify_checkpoint",
    "job_of",
    "plan_port",
    "translate",
    "usual_layout",
    "write_random",
]
