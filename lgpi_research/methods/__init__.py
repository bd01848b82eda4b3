"""Arrays in, arrays out: one topic a file. Importing the folder registers every built-in method."""

import importlib
import pkgutil

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")
