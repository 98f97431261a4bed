"""Files of rules between two models: a layout like any other, read and used without a framework."""

from porting.saved_rules.files import read_table, table_to_json, write_table
from porting.saved_rules.table import ROLES, Role, SavedSide, SavedTable
from porting.saved_rules.tensors import TensorInfo, pack

__all__ = [
    "ROLES",
    "Role",
    "SavedSide",
    "SavedTable",
    "TensorInfo",
    "pack",
    "read_table",
    "table_to_json",
    "write_table",
]
